"""Writes docs/api.md, the HTTP contract for people, from the OpenAPI document (`make openapi`)."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared import errors

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "contract" / "openapi.json"
PAGE = ROOT / "docs" / "api.md"
CALLERS = {
    "person": "signed in",
    "ticket": "holder of the ticket's access token (`X-Ticket-Token`)",
    "webhook": "Linear, by its signature",
}
# OpenAPI has no security scheme for a signature that several headers make up.
SIGNED = {"POST /receive-webhook/tickets": "a partner, by its signature"}
INTRODUCTION = """\
# The HTTP API

`make openapi` writes this page from [contract/openapi.json](../contract/openapi.json).
Generate TypeScript types from it with
`npx openapi-typescript contract/openapi.json --default-non-nullable false -o supadesk.ts`.

{description}

Every answer is JSON. Success is 200 with `"success": true`. Bodies are UTF-8 JSON of at most
256 KiB, without unknown fields.
Every error has this shape:

```json
{{"success": false, "error": "one sentence a person can act on", "code": "snake_case",
 "fields": [{{"path": "payload.category", "message": "must be one of …"}}], "request_id": "…"}}
```

| Status | Code | Meaning |
|---|---|---|
{errors}

405 names the permitted methods in `Allow`. 429 and 503 carry `Retry-After`. `stale_version` adds the
`current` row.
"""


def page(document: Mapping[str, Any]) -> str:
    """Renders the whole page."""
    responses = document["components"]["responses"]
    introduction = INTRODUCTION.format(
        description=document["info"]["description"].replace("\n", " "),
        errors="\n".join(_errors(responses)),
    )
    operations = [line for tag in document["tags"] for line in _function(tag, document["paths"])]
    schemas = document["components"]["schemas"]
    models = [line for name in sorted(schemas) for line in _model(name, schemas[name])]
    return "\n".join([introduction, *operations, "## Models", "", *models]).rstrip() + "\n"


def _errors(responses: Mapping[str, Any]) -> Iterator[str]:
    """Yields a row per status, with its codes in the docstring of shared/errors.py."""
    for status, response in responses.items():
        listed = ", ".join(re.findall(rf" {status} +(\w.*)", errors.__doc__ or ""))
        codes = dict.fromkeys(f"`{code}`" for code in listed.split(", "))
        yield f"| {status} | {', '.join(codes)} | {response['description']} |"


def _function(tag: Mapping[str, str], paths: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## {tag['name']}", "", tag["description"], "")
    for path, methods in paths.items():
        for method, operation in methods.items():
            if operation["tags"] == [tag["name"]]:
                yield from _operation(f"{method.upper()} {path}", operation)


def _operation(name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    statuses = [status for status in operation["responses"] if status != "200"]
    yield from (f"### `{name}`", "", f"{operation['summary'].rstrip('.?')}.", "")
    yield f"- Caller: {SIGNED.get(name) or _callers(operation['security'])}"
    if body := operation.get("requestBody"):
        yield f"- Body: {_type(body['content']['application/json']['schema'])}"
    yield f"- Answer: {_type(operation['responses']['200']['content']['application/json']['schema'])}"
    yield from (f"- Errors: {', '.join(statuses)}", "")
    if operation["parameters"]:
        rows = [
            (parameter["name"], parameter["in"], _value_of(parameter))
            for parameter in operation["parameters"]
        ]
        yield from _table(("Parameter", "In", "Value"), rows)


def _callers(security: Sequence[Mapping[str, Any]]) -> str:
    return " or ".join(CALLERS[next(iter(scheme))] if scheme else "anonymous" for scheme in security)


def _value_of(parameter: Mapping[str, Any]) -> str:
    schema = parameter["schema"]
    if schema.get("patternProperties"):
        return "`context.<key>=<text>`, several"
    default = f", by default `{schema['default']}`" if "default" in schema else ""
    text = parameter.get("description") or schema.get("description")
    description = f". {text}" if text else ""
    return _type(schema) + default + description


def _model(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yields a model's section: its description, and its fields or alternatives."""
    yield from (f"### {name}", "")
    if "description" in schema:
        yield from (" ".join(schema["description"].split()), "")
    if "properties" not in schema:
        yield from (f"One of {_type(schema)}.", "")
    elif schema["properties"]:
        required = schema.get("required", ())
        rows = [
            (name, "yes" if name in required else "", _type(field))
            for name, field in schema["properties"].items()
        ]
        yield from _table(("Field", "Required", "Value"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from (f"| {' | '.join(head)} |", "|---" * len(head) + "|")
    for name, *cells in rows:
        yield f"| `{name}` | {' | '.join(cells)} |"
    yield ""


def _type(schema: Mapping[str, Any]) -> str:
    """Describes a schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return " or ".join(_type(option) for option in schema[keyword])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}{_bounds(schema, 'Items')}"
    if schema.get("type") == "string":
        return _string(schema)
    return f"{schema.get('type', 'any value')}{_range(schema)}"


def _string(schema: Mapping[str, Any]) -> str:
    pattern = schema.get("pattern", "")
    kind = "number (`SUP-00001`) or UUID" if pattern.startswith("^(SUP") else "text"
    return f"{schema.get('format', kind)}{_bounds(schema, 'Length')}"


def _bounds(schema: Mapping[str, Any], of: str) -> str:
    least, most = schema.get(f"min{of}"), schema.get(f"max{of}")
    if most is None:
        return ""
    return f" ({least} to {most})" if least is not None else f" (at most {most})"


def _range(schema: Mapping[str, Any]) -> str:
    if "minimum" not in schema or "maximum" not in schema:
        return ""
    return f" {schema['minimum']} to {schema['maximum']}"


def write(document: Path = DOCUMENT, target: Path = PAGE) -> None:
    """Writes the page for a document."""
    target.write_text(page(json.loads(document.read_text())))


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
