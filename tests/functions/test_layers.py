"""Holds the modules to their layers: each part imports from below alone, and no folder is a heap."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from deploy.table import ROOT

SHARED = ROOT / "shared"
# From the ground up: whatever stands on one line imports from lines above it, a wing also from itself.
LAYERS = (
    ("shared.choices", "shared.text", "shared.domains", "shared.errors"),
    ("shared.config",),
    ("shared.logs", "shared.store"),
    ("shared.outbox", "shared.sla_sweep"),
    ("shared.triage",),
    ("shared.requests",),
    ("shared.linear", "shared.mail"),
    ("shared.http",),
)
LAYER = {part: number for number, layer in enumerate(LAYERS) for part in layer}
MAX_MODULES = 14
PRODUCT = ("shared", "functions", "deploy", "local", "contract")


def modules() -> dict[str, Path]:
    """Every module of shared/ by its name, but for the packages' own."""
    files = (path for path in SHARED.rglob("*.py") if path.name != "__init__.py")
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}


MODULES = modules()


def imports_of(path: Path) -> Iterator[str]:
    """The modules that a file names in its imports, wherever they stand in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: an import relative to its own place"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


IMPORTS = {name: {found for found in imports_of(path) if found in MODULES} for name, path in MODULES.items()}


def part_of(module: str) -> str:
    """The wing that a module belongs to, or itself."""
    return ".".join(module.split(".")[:2])


def test_every_module_has_its_layer() -> None:
    assert {part_of(module) for module in MODULES} == set(LAYER)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_from_below_alone(module: str) -> None:
    part = part_of(module)
    others = {imported for imported in IMPORTS[module] if part_of(imported) != part}
    assert {imported for imported in others if LAYER[part_of(imported)] >= LAYER[part]} == set()


def test_no_import_runs_in_a_circle() -> None:
    TopologicalSorter(IMPORTS).prepare()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_shared_knows_nothing_of_what_is_around_it(module: str) -> None:
    around = {"functions", "deploy", "local", "contract", "tests", "bench", "training"}
    assert {name.partition(".")[0] for name in imports_of(MODULES[module])} & around == set()


def test_no_folder_of_the_product_is_a_heap() -> None:
    folders = {path.parent for top in PRODUCT for path in (ROOT / top).rglob("*.py")}
    counts = {
        folder.relative_to(ROOT).as_posix(): sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        for folder in folders
        if "node_modules" not in folder.parts
    }
    assert {folder: count for folder, count in counts.items() if count > MAX_MODULES} == {}
