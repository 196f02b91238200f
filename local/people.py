"""The running stack and the people in front of it, for the tests and the bench."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from local.auth.keys import Keys
from local.functions import environment, load_functions
from local.google.metadata import FLAVOR, IDENTITY
from local.postgres import SUPERUSER
from local.stack import Stack

# The headers that choose the desk's schema in PostgREST, for reads and for writes.
PROFILE = {"Accept-Profile": "desk", "Content-Profile": "desk"}


@dataclass(frozen=True)
class Person:
    """Somebody in auth.users, with a token as Auth signs it."""

    id: UUID
    email: str | None
    token: str


# What the fixtures `person` and `api` or `rest` are: somebody new, and a client as somebody (None: nobody) has it.
NewPerson = Callable[..., Person]
Client = Callable[[Person | None], httpx.Client]
# The fixture `serve`: one more function, with other variables; its address.
Serve = Callable[..., AbstractContextManager[str]]


@dataclass(frozen=True)
class RunningStack:
    """Where the stack of the tests is, and the means to pretend to be anybody."""

    stack: Stack

    @property
    def supabase_url(self) -> str:
        """Supabase's gateway, as the official clients take it."""
        return self.stack.supabase_url

    @property
    def rest_url(self) -> str:
        """PostgREST itself, without the gateway."""
        return self.stack.rest_url

    @property
    def auth_url(self) -> str:
        """Auth behind the gateway, and the issuer of tokens."""
        return self.stack.auth_url

    @property
    def functions_url(self) -> str:
        """The functions' gateway."""
        return self.stack.functions_url

    @property
    def database_url(self) -> str:
        """The database as postgres, who is no superuser."""
        return self.stack.database.url()

    @property
    def admin_url(self) -> str:
        """The database as its superuser."""
        return self.stack.database.url(SUPERUSER)

    @property
    def anon_key(self) -> str:
        """The publishable key."""
        return self.keys.publishable

    @property
    def secret_key(self) -> str:
        """The secret key."""
        return self.keys.secret

    @property
    def keys(self) -> Keys:
        """Every key, the one that signs tokens included."""
        return self.stack.keys

    def token(self, user_id: UUID, email: str | None, **claims: Any) -> str:
        """A token with the claims that Auth signs, some replaced; None leaves a claim out."""
        now = int(time.time())
        usual = {
            "iss": self.auth_url,
            "sub": str(user_id),
            "aud": "authenticated",
            "exp": now + 3600,
            "iat": now,
            "email": email or "",
            "phone": "",
            "app_metadata": {},
            "user_metadata": {},
            "role": "authenticated",
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": now}],
            "session_id": str(UUID(int=now)),
            "is_anonymous": False,
        }
        return self.keys.sign(
            {name: value for name, value in {**usual, **claims}.items() if value is not None}
        )

    def identity_token(self, audience: str) -> str:
        """What a service account shows a private function."""
        url = f"http://{self.stack.environment['GCE_METADATA_HOST']}{IDENTITY}"
        query = {"audience": audience, "format": "full"}
        return httpx.get(url, params=query, headers=FLAVOR, trust_env=False).raise_for_status().text

    def function_env(self, name: str) -> dict[str, str]:
        """The environment that the stack gives a function."""
        [function] = [function for function in load_functions() if function.name == name]
        return environment(function, self.stack.environment)
