"""Emulates the metadata server's identity tokens; GCE_METADATA_HOST points Google's clients here."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from local.auth.keys import write_private
from local.ports import answering
from local.process import ROOT, Part, running
from local.serving import serve

ISSUER = "https://accounts.google.com"
ACCOUNT = "desk@local.iam.gserviceaccount.com"
IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity"
FLAVOR = {"Metadata-Flavor": "Google"}


@contextmanager
def run_metadata(home: Path, host: str) -> Iterator[Part]:
    """Runs the server at a host like 127.0.0.1:8090; its key, in place of Google's, is stored in `home`."""
    port = int(host.rpartition(":")[2])
    env = {"PYTHONPATH": str(ROOT), "PORT": str(port), "KEY": str(google_key_file(home))}
    command = [sys.executable, "-m", "local.google.metadata"]
    with running("metadata", command, home=home, env=env, ready=answering(port, "/", headers=FLAVOR)) as part:
        yield part


def google_key_file(home: Path) -> Path:
    """Returns the path of the key; generates a missing one."""
    path = home / "google.pem"
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(path, pem.decode())
    return path


def verify_token(token: str, audience: str, key_file: Path) -> dict[str, Any]:
    """Returns the claims of a token for this audience; raises jwt.PyJWTError for any other."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    claims: dict[str, Any] = jwt.decode(token, key.public_key(), ["RS256"], audience=audience, issuer=ISSUER)
    return claims


def metadata_app(key: str) -> Starlette:
    """Serves the paths that Google's clients request."""

    def root(request: Request) -> Response:
        return PlainTextResponse("computeMetadata/\n", headers=FLAVOR)

    def identity(request: Request) -> Response:
        if request.headers.get("metadata-flavor") != "Google":
            return PlainTextResponse("Missing Metadata-Flavor:Google header.\n", 403)
        audience = request.query_params.get("audience")
        if not audience:
            return PlainTextResponse("non-empty audience parameter required\n", 400, FLAVOR)
        claims = _claims(audience, full=request.query_params.get("format") == "full")
        return PlainTextResponse(jwt.encode(claims, key, "RS256", {"kid": "local"}), headers=FLAVOR)

    return Starlette(routes=[Route("/", root), Route(IDENTITY, identity)])


def _claims(audience: str, *, full: bool) -> dict[str, Any]:
    now = int(time.time())
    subject = "100000000000000000000"
    standard = {"iss": ISSUER, "aud": audience, "azp": subject, "sub": subject, "iat": now, "exp": now + 3600}
    return standard | ({"email": ACCOUNT, "email_verified": True} if full else {})


if __name__ == "__main__":
    serve(metadata_app(Path(os.environ["KEY"]).read_text()), int(os.environ["PORT"]))
