"""Adds the desk's schema to those that Supabase's Data API exposes, or removes it.

Calls Supabase's Management API with SUPABASE_ACCESS_TOKEN from the environment; the token is not stored.
A newer PostgREST refuses to start for the whole project while a schema that it exposes does not exist. Hence the
order: migrate, then expose; un-expose, then drop.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import psycopg

from deploy.setup.google import Changes, PendingChange
from deploy.table import DeployError

SCHEMA = "desk"
ENDPOINT = "https://api.supabase.com"
TIMEOUT = 30  # seconds, a call


class ExposureFailed(DeployError):
    """The schema could not be exposed, or taken out again."""


@dataclass(frozen=True)
class DataApi:
    """The Data API settings of one Supabase project."""

    project: str
    token: str = field(repr=False)
    endpoint: str = ENDPOINT

    def schemas(self) -> list[str]:
        """Returns the exposed schemas, the default one first."""
        return self._call("GET")

    def expose(self, schemas: list[str]) -> None:
        """Exposes these schemas and no others."""
        if self._call("PATCH", {"db_schema": ",".join(schemas)}) != schemas:
            raise ExposureFailed(
                "Supabase took the exposed schemas and does not have them: see its dashboard"
            )

    def _call(self, method: str, body: Mapping[str, str] | None = None) -> list[str]:
        url = f"{self.endpoint}/v1/projects/{self.project}/postgrest"
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = httpx.request(
                method, url, headers=headers, json=body, timeout=TIMEOUT, follow_redirects=False
            )
        except httpx.HTTPError as error:
            raise ExposureFailed(f"{self.endpoint} cannot be reached ({type(error).__name__})") from None
        if not answer.is_success:
            raise ExposureFailed(f"{self.endpoint} answered {answer.status_code} to {method} {url}")
        try:
            listed = answer.json()["db_schema"]
        except (ValueError, KeyError, TypeError):
            raise ExposureFailed(f"{self.endpoint} answered without the exposed schemas") from None
        return [schema.strip() for schema in listed.split(",") if schema.strip()]


def exposure(env: Mapping[str, str]) -> Changes:
    """Yields the change that exposes the schema, given a token and where it is not exposed yet."""
    if not env.get("SUPABASE_ACCESS_TOKEN"):
        return
    api = _data_api(env)
    exposed = api.schemas()
    if SCHEMA in exposed:
        return
    if not _schema_exists(env):
        raise ExposureFailed(f"the database has no schema {SCHEMA} to expose yet: make migrate first")
    yield PendingChange(
        f"expose {SCHEMA} in {api.project}, beside {', '.join(exposed)}",
        lambda: api.expose([*exposed, SCHEMA]),
    )


def removal(env: Mapping[str, str]) -> Changes:
    """Yields the change that takes the schema out, before it is dropped."""
    if not env.get("SUPABASE_ACCESS_TOKEN"):
        raise ExposureFailed("SUPABASE_ACCESS_TOKEN is not set")
    api = _data_api(env)
    exposed = api.schemas()
    if SCHEMA in exposed:
        rest = [schema for schema in exposed if schema != SCHEMA]
        if not rest:
            raise ExposureFailed(
                f"{SCHEMA} is the only schema exposed: expose another one first, like public"
            )
        yield PendingChange(f"expose {SCHEMA} in {api.project} no more", lambda: api.expose(rest))


def _data_api(env: Mapping[str, str]) -> DataApi:
    host = urlsplit(env.get("SUPABASE_URL", "")).hostname or ""
    found = re.fullmatch(r"([a-z]{20})\.supabase\.(?:co|in)", host)
    if not found:
        raise ExposureFailed(
            "SUPABASE_URL must be the project's own https://<project>.supabase.co for SUPABASE_ACCESS_TOKEN to be used: "
            "without that token the schema is exposed in the dashboard"
        )
    endpoint = env.get("SUPABASE_API_ENDPOINT", ENDPOINT)
    return DataApi(found[1], env["SUPABASE_ACCESS_TOKEN"], endpoint)


def _schema_exists(env: Mapping[str, str]) -> bool:
    url = env.get("DATABASE_URL")
    if not url:
        raise ExposureFailed(
            f"DATABASE_URL is not set, by which to see whether the schema {SCHEMA} exists yet"
        )
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            row = connection.execute("select to_regnamespace(%s) is not null", (SCHEMA,)).fetchone()
    except psycopg.Error as error:
        raise ExposureFailed(
            f"the database at DATABASE_URL cannot be asked ({type(error).__name__})"
        ) from None
    return row == (True,)
