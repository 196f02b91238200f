"""Reads the table of functions, functions.toml. The head of that file explains each key."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "deploy" / "functions.toml"

# Deployment and the local stack derive these.
PRIVATE_VARIABLES = {"AUDIENCE", "INVOKERS"}

Count = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[float, Field(gt=0)]
R = TypeVar("R", bound="TableRow")
Names = tuple[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")], ...]


class DeployError(Exception):
    """Says what a person must change; printed without a traceback."""


class TableRow(BaseModel):
    """Parses a section of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Function(TableRow):
    """Parses the row of a function, merged with the defaults."""

    name: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,46}[a-z0-9])?$")]
    summary: Annotated[str, Field(min_length=1)]
    access: Literal["public", "private"]
    runtime: Annotated[str, Field(pattern=r"^python3\d+$")]
    region: Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+\d+$")]
    memory: Annotated[str, Field(pattern=r"^[1-9]\d*[MG]i$")]
    cpu: Annotated[str, Field(pattern=r"^(0\.\d+|[1248])$")]
    concurrency: Annotated[int, Field(strict=True, ge=1, le=1000)]
    min_instances: Count
    max_instances: Annotated[int, Field(strict=True, ge=1)]
    timeout: Annotated[int, Field(strict=True, ge=1, le=3600)]
    env: Names = ()
    secrets: Names = ()
    optional: Names = ()
    one_of: Names = ()
    smoke: Annotated[str, Field(pattern=r"^/")] | None = None
    schedule: str | None = None
    time_zone: str
    invokers: tuple[str, ...] = ()

    @property
    def is_private(self) -> bool:
        """Tells whether only service accounts may call it."""
        return self.access == "private"

    @property
    def needs_one_of(self) -> bool:
        """Tells whether one of `one_of` is required."""
        return not set(self.one_of) <= set(self.optional)

    @property
    def entry_point(self) -> str:
        """Returns the name of the function in its main.py."""
        return self.name.replace("-", "_")

    @property
    def source(self) -> Path:
        """Returns the path of its main.py."""
        return ROOT / "functions" / self.name / "main.py"

    @property
    def variables(self) -> tuple[str, ...]:
        """Returns all variables that may be in its environment."""
        return (*self.env, *self.secrets)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        wrong = {
            "env and secrets name the same variable": set(self.env) & set(self.secrets),
            "optional names what is in neither env nor secrets": set(self.optional) - set(self.variables),
            "one_of names what is not in secrets": set(self.one_of) - set(self.secrets),
            "only private functions have these": set() if self.is_private else self._private_keys,
            "a private function needs these in env": PRIVATE_VARIABLES - set(self.env)
            if self.is_private
            else set(),
        }
        for sentence, variables in wrong.items():
            if variables:
                raise ValueError(f"{sentence}: {', '.join(sorted(variables))}")
        if self.min_instances > self.max_instances:
            raise ValueError("min_instances is more than max_instances")
        return self

    @property
    def _private_keys(self) -> set[str]:
        keys = {name for name in ("schedule", "invokers") if getattr(self, name)}
        return keys | (PRIVATE_VARIABLES & set(self.env))


class StoreCapacity(TableRow):
    """Parses the capacity of PostgREST: connections, and seconds that a request may wait and holds one."""

    pool: Annotated[int, Field(strict=True, ge=1)]
    wait: Positive
    request: Positive

    @property
    def max_requests(self) -> int:
        """Returns how many concurrent requests all get a connection in time."""
        return int(self.pool * self.wait / self.request)


def read_table(path: Path = TABLE) -> list[Function]:
    """Returns all functions in the order of the file; raises DeployError for an invalid file."""
    try:
        table = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise DeployError(f"{path.name}: {error}") from None
    for section in ("defaults", "store", "functions"):
        if not isinstance(table.get(section), dict):
            raise DeployError(f"{path.name}: there is no [{section}]")
    functions = [_function(path, table["defaults"], name, row) for name, row in table["functions"].items()]
    _check_invokers(path, functions)
    _check_capacity(path, functions, _parse_row(path, "store", StoreCapacity, table["store"]))
    return functions


def check_folders(functions: list[Function], root: Path = ROOT) -> None:
    """Raises DeployError unless every row has a folder and every folder a row."""
    rows = {function.name for function in functions}
    folders = {file.parent.name for file in (root / "functions").glob("*/main.py")}
    if missing := sorted(rows - folders):
        raise DeployError(
            f"functions.toml has a row for {', '.join(missing)}: there is no main.py in functions/"
        )
    if unlisted := sorted(folders - rows):
        raise DeployError(f"functions/ has {', '.join(unlisted)}: there is no row for it in functions.toml")


def select(functions: list[Function], names: list[str]) -> list[Function]:
    """Returns the functions of these names, or all; raises DeployError for an unknown name."""
    known = {function.name: function for function in functions}
    if unknown := [name for name in names if name not in known]:
        raise DeployError(f"there is no function {', '.join(unknown)}: it must be one of {', '.join(known)}")
    return [known[name] for name in names] if names else functions


def _function(path: Path, defaults: dict[str, Any], name: str, row: dict[str, Any]) -> Function:
    lists = {key: [*defaults.get(key, []), *row.get(key, [])] for key in ("env", "optional")}
    return _parse_row(path, f"functions.{name}", Function, {**defaults, **row, **lists, "name": name})


def _parse_row(path: Path, section: str, row: type[R], values: dict[str, Any]) -> R:
    try:
        return row.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        reasons = "; ".join(
            ": ".join(filter(None, [".".join(map(str, detail["loc"])), _sentence(detail["msg"])]))
            for detail in details
        )
        raise DeployError(f"{path.name}: [{section}] {reasons}") from None


def _sentence(message: str) -> str:
    return re.sub(r"^Value error, ", "", message)


def _check_invokers(path: Path, functions: list[Function]) -> None:
    known = {function.name for function in functions}
    for function in functions:
        if unknown := set(function.invokers) - known:
            raise DeployError(
                f"{path.name}: [functions.{function.name}] invokers: no function {min(unknown)}"
            )


def _check_capacity(path: Path, functions: list[Function], store: StoreCapacity) -> None:
    concurrent = sum(function.max_instances * function.concurrency for function in functions)
    if concurrent > store.max_requests:
        raise DeployError(
            f"{path.name}: max_instances x concurrency of all functions together is {concurrent} requests"
            f" under way, and PostgREST's pool of {store.pool} has room for {store.max_requests}:"
            " lower one of them, or give the project a larger pool and say so in [store]"
        )
