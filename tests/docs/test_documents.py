"""The documents speak of what exists: links, paths, make targets, SQL names, variables, versions."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from contract.docs import PAGE, page
from deploy.table import ROOT, read_table

DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "local" / "README.md",
    ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md",
]
# Old names are the point of this one.
PLACES = [document for document in DOCUMENTS if document.name != "renames.md"]
TOPS = (
    ".github", "bench", "contract", "deploy", "docs", "functions", "local", "shared", "supabase", "tests", "training"
)  # fmt: skip
# CONTRIBUTING.md says that they come with the first release.
PLANNED = {"supabase/schemas/*.sql"}
IGNORED = ("node_modules", ".venv", "build")


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


def code_of(text: str) -> str:
    """The fenced blocks and the code spans."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*fenced, *spans])


def renames() -> list[tuple[str, str]]:
    """Old and new names of docs/renames.md, each as it stands between its backticks."""
    rows = [line.split("|") for line in (ROOT / "docs" / "renames.md").read_text().splitlines()]
    return [
        (old, new)
        for row in rows
        if len(row) > 3
        for old in re.findall(r"`([^`]+)`", row[1])
        for new in re.findall(r"`([^`]+)`", row[2])
    ]


RENAMES = renames()


def exists(path: str) -> bool:
    """Returns True if something has this path, which may be a pattern."""
    return bool(list(ROOT.glob(path))) if "*" in path else (ROOT / path).exists()


def slugs(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert exists(str(target.relative_to(ROOT))), link
        assert not anchor or anchor in slugs(target), link


@pytest.mark.parametrize("document", PLACES, ids=named)
def test_every_path_exists(document: Path) -> None:
    for path in re.findall(rf"`((?:{'|'.join(map(re.escape, TOPS))})/[^`\s]*)`", document.read_text()):
        assert "<" in path or path in PLANNED or exists(path), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_make_target_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = re.findall(r"\bmake((?: [a-z]+(?![\w=]))+)", code_of(document.read_text()))
    assert {name for names in called for name in names.split()} <= targets


@pytest.mark.parametrize("document", PLACES, ids=named)
def test_every_name_of_the_store_is_created_there(document: Path) -> None:
    created = names_of_the_store()
    used = set(re.findall(r"(?<!/)\bdesk(?:_private)?\.([a-z_]+)", document.read_text()))
    assert used <= created


def names_of_the_store() -> set[str]:
    sources = (*(ROOT / "supabase").rglob("*.sql"), ROOT / "deploy" / "migrate.py")
    sql = "".join(path.read_text() for path in sources)
    made = r"^\s*create (?:or replace )?(?:function|table|sequence)(?: if not exists)? \w+\.(\w+)"
    return set(re.findall(made, sql, re.MULTILINE))


def test_a_renamed_thing_has_its_new_name() -> None:
    assert [new for _, new in RENAMES if new.partition("/")[0] in TOPS and not exists(new)] == []
    created = names_of_the_store()
    renamed = [pair for pair in RENAMES if pair[1].startswith("desk_private.")]
    assert [pair for pair in renamed if pair[1].partition(".")[2] not in created] == []


@pytest.mark.parametrize("document", [".env.example", "docs/configuration.md"])
def test_every_variable_of_a_function_is_explained(document: str) -> None:
    explained = set(re.findall(r"[A-Z][A-Z_]+[A-Z]", (ROOT / document).read_text()))
    assert {name for function in read_table() for name in function.variables} <= explained


def test_every_function_has_a_row_in_the_readme() -> None:
    rows = re.findall(r"^\| ([a-z-]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [function.name for function in read_table()] == [
        name for name in rows if (ROOT / "functions" / name).exists()
    ]


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 130
    assert len(text.split()) <= 900


def test_the_page_of_the_api_is_up_to_date() -> None:
    [document] = paths("openapi.json")
    assert PAGE.read_text() == page(json.loads(document.read_text())), "`make openapi` writes it anew"


def test_the_glossary_says_each_term_once() -> None:
    terms = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    terms = [term for term in terms if term != "Term"]
    assert len(terms) == len(set(terms))


def test_the_newest_changes_are_those_of_the_version() -> None:
    versions = re.findall(r"^## (\d+\.\d+\.\d+)\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == project()["version"]


def test_checks_before_a_commit_have_the_versions_of_ci() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    [ruff] = re.findall(r"^ruff==(\S+)", (ROOT / "tests" / "requirements.txt").read_text(), re.MULTILINE)
    [actionlint] = re.findall(r"actionlint@(v\S+)", (ROOT / "Makefile").read_text())
    assert f"ruff-pre-commit\n    rev: v{ruff}\n" in hooks
    assert f"actionlint\n    rev: {actionlint}\n" in hooks


@pytest.mark.parametrize(("ecosystem", "file"), [("pip", "requirements.in"), ("npm", "package.json")])
def test_every_lock_is_kept_up_to_date(ecosystem: str, file: str) -> None:
    text = (ROOT / ".github" / "dependabot.yml").read_text()
    [listed] = re.findall(rf"package-ecosystem: {ecosystem}\n    directories: \[(.+)\]", text)
    watched = {folder.strip("/") for folder in listed.split(", ")}
    locked = {path.parent.relative_to(ROOT).as_posix().removeprefix(".") for path in paths(file)}
    assert watched == locked


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def paths(name: str) -> list[Path]:
    """Finds the files of this name, except installed or built ones."""
    folders = (ROOT, *(ROOT / top for top in TOPS if top != ".github"))
    return [
        path
        for folder in folders
        for path in (folder.glob(name) if folder == ROOT else folder.rglob(name))
        if not set(path.parts) & set(IGNORED)
    ]
