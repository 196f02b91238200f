"""A Google Cloud project as far as set-up goes: the REST APIs it calls, with their etags, pages, delays and refusals."""

import json
import re
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Json = dict[str, Any]
PROJECT, NUMBER = "desk-test", "123456789012"
TOKEN = "the-access-token"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
# What is on in a project that has just been made.
INITIAL_APIS = {"serviceusage", "logging", "storage"}
PAGE = 2
STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


class Refusal(Exception):
    """An error as Google's APIs tell it."""

    def __init__(self, code: int, message: str, status: str | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        error: Json = {"code": code, "message": message, "status": status or STATUSES[code]}
        if reason:
            info = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason,
                "domain": "googleapis.com",
            }
            error["details"] = [info]
        self.code, self.body = code, {"error": error}


class Cloud:
    """The project's state, for tests to look at and to meddle with."""

    def __init__(self) -> None:
        self.apis = set(INITIAL_APIS)
        self.accounts: dict[str, Json] = {}
        self.policies: dict[str, Json] = {}
        self.secrets: dict[str, list[Json]] = {}
        self.services: dict[str, Json] = {}
        self.jobs: dict[str, Json] = {}
        self.pools: dict[str, Json] = {}
        self.calls: list[str] = []
        # How many more calls behave as if what was made had not been: Google takes its time.
        self.api_lag = self.account_lag = 0
        self.meddlers: dict[str, Json] = {}
        self.forbidden: set[str] = set()
        self._operations = 0

    @property
    def changes(self) -> list[str]:
        """The calls that could have changed something."""
        reads = re.compile(r"GET |POST \S*:getIamPolicy$")
        return [call for call in self.calls if not reads.match(call)]

    def members(self, resource: str, role: str) -> set[str]:
        """Lists the members with a role on a resource, like `secrets/supadesk-intake-secret`."""
        bindings = self._policy(resource).get("bindings", [])
        return {member for binding in bindings if binding["role"] == role for member in binding["members"]}

    def roles(self, member: str) -> set[tuple[str, str]]:
        """Everything that a member may do: resource and role."""
        return {
            (resource, binding["role"])
            for resource, policy in self.policies.items()
            for binding in policy.get("bindings", [])
            if member in binding["members"]
        }

    def grant(self, resource: str, role: str, *members: str, **more: Any) -> None:
        """As if somebody had done so by hand."""
        policy = self._policy(resource)
        bindings = [*policy.get("bindings", []), {"role": role, "members": list(members), **more}]
        self._store(resource, policy | {"bindings": bindings})

    def serve(self, function: str, region: str = "europe-west9") -> str:
        """Deploy a function; gives its address."""
        uri = f"https://{function}-{NUMBER}.{region}.run.app"
        self.services[f"projects/{PROJECT}/locations/{region}/services/{function}"] = {"uri": uri}
        return uri

    def value(self, secret: str) -> str:
        """Returns the newest version of a secret."""
        return b64decode(self.secrets[secret][-1]["data"]).decode()

    def answer(self, service: str, method: str, path: str, query: Json, body: Json) -> Json:
        """Google's answer, or a Refusal."""
        self.calls.append(f"{method} {service}/{path}")
        if service in self.forbidden:
            raise Refusal(403, f"Permission denied on {service}.")
        if service not in self.apis or (service != "serviceusage" and self._lags("api_lag")):
            raise Refusal(
                403, f"{service} API has not been used in project {NUMBER} before.", reason="SERVICE_DISABLED"
            )
        for owner, verb, pattern, handler in HANDLERS:
            found = re.fullmatch(pattern, path)
            if owner in (service, "*") and verb == method and found:
                return handler(self, query, body, *found.groups())
        raise Refusal(404, f"{method} {service}/{path} is no method of this API")

    def operation(self, response: Json, name: str = "operations/") -> Json:
        """Something that goes on for two more looks at it."""
        self._operations = 2
        return {"name": f"{name}{abs(hash(name)) % 1000}", "response": response}

    def _lags(self, which: str) -> bool:
        left: int = getattr(self, which)
        setattr(self, which, max(0, left - 1))
        return left > 0

    def _policy(self, resource: str) -> Json:
        return self.policies.get(resource, {"etag": "AA=="})

    def _store(self, resource: str, policy: Json) -> None:
        etag = b64encode(f"{resource} {len(self.calls)} {len(json.dumps(policy))}".encode()).decode()
        self.policies[resource] = policy | {"etag": etag}

    # Service Usage

    def look_at_apis(self, query: Json, body: Json) -> Json:
        return {"services": [self._api(name.rpartition("/")[2]) for name in query["names"]]}

    def look_at_api(self, query: Json, body: Json, name: str) -> Json:
        return self._api(name)

    def _api(self, name: str) -> Json:
        state = "ENABLED" if name.removesuffix(".googleapis.com") in self.apis else "DISABLED"
        return {"name": f"projects/{NUMBER}/services/{name}", "parent": f"projects/{NUMBER}", "state": state}

    def switch_on(self, query: Json, body: Json) -> Json:
        if len(body["serviceIds"]) > 20:
            raise Refusal(400, "Too many services in one batch.")
        self.apis |= {name.removesuffix(".googleapis.com") for name in body["serviceIds"]}
        return self.operation({}, "operations/acat.p2-")

    def look_at_operation(self, query: Json, body: Json, name: str) -> Json:
        self._operations -= 1
        return {"name": name, "done": True, "response": {}} if self._operations <= 0 else {"name": name}

    # IAM: accounts, federation, policies

    def look_at_account(self, query: Json, body: Json, email: str) -> Json:
        if email not in self.accounts:
            raise Refusal(404, f"Unknown service account: {email}")
        return self.accounts[email]

    def make_account(self, query: Json, body: Json) -> Json:
        account = body["accountId"]
        if not re.fullmatch(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])", account):
            raise Refusal(400, f"Invalid service account id {account}.")
        email = f"{account}@{PROJECT}.iam.gserviceaccount.com"
        if email in self.accounts:
            raise Refusal(409, f"Service account {account} already exists.", "ALREADY_EXISTS")
        self.accounts[email] = {"email": email, **body["serviceAccount"]}
        return self.accounts[email]

    def look_at_pool(self, query: Json, body: Json, name: str) -> Json:
        if name not in self.pools:
            raise Refusal(404, f"Requested entity {name} was not found.")
        return self.pools[name]

    def make_pool(self, query: Json, body: Json, parent: str) -> Json:
        [name] = query.get("workloadIdentityPoolId") or query["workloadIdentityPoolProviderId"]
        if f"{parent}/{name}" in self.pools:
            raise Refusal(409, "Requested entity already exists", "ALREADY_EXISTS")
        self.pools[f"{parent}/{name}"] = body | {"name": f"{parent}/{name}", "state": "ACTIVE"}
        return self.operation({}, f"{parent}/{name}/operations/")

    def bring_pool_back(self, query: Json, body: Json, name: str) -> Json:
        self.pools[name]["state"] = "ACTIVE"
        return self.operation({}, f"{name}/operations/")

    def change_pool(self, query: Json, body: Json, name: str) -> Json:
        if self.look_at_pool(query, body, name)["state"] == "DELETED":
            raise Refusal(400, "It is deleted.", "FAILED_PRECONDITION")
        self.pools[name] |= {field: body[field] for field in query["updateMask"][0].split(",")}
        return self.operation({}, f"{name}/operations/")

    def read_policy(self, query: Json, body: Json, resource: str) -> Json:
        resource = self._existing(resource)
        asked = query.get("options.requestedPolicyVersion", [None])[0]
        asked = asked or body.get("options", {}).get("requestedPolicyVersion", 1)
        policy = self._policy(resource)
        if int(asked) < 3:
            raise Refusal(400, "Ask for version 3, or conditions are lost.")
        return policy

    def write_policy(self, query: Json, body: Json, resource: str) -> Json:
        resource, policy = self._existing(resource), body["policy"]
        if meddler := self.meddlers.pop(resource, None):
            self.grant(resource, meddler["role"], *meddler["members"])
        if policy["etag"] != self._policy(resource)["etag"]:
            message = "There were concurrent policy changes. Please retry the whole read-modify-write."
            raise Refusal(409, message, "ABORTED")
        for member in {member for binding in policy["bindings"] for member in binding["members"]}:
            email = member.removeprefix("serviceAccount:")
            if email != member and (email not in self.accounts or self._lags("account_lag")):
                raise Refusal(400, f"Service account {email} does not exist.")
        self._store(resource, policy)
        return self.policies[resource]

    def _existing(self, resource: str) -> str:
        kind, _, name = resource.removeprefix(f"projects/{PROJECT}").removeprefix("/").rpartition("/")
        known = {
            "": {""},
            "serviceAccounts": self.accounts,
            "secrets": self.secrets,
            "locations/europe-west9/services": {full.rpartition("/")[2] for full in self.services},
        }
        if name not in known.get(kind, ()):
            raise Refusal(404, f"{resource} not found")
        return f"{kind.rpartition('/')[2]}/{name.partition('@')[0]}".strip("/")

    # Secret Manager

    def list_secrets(self, query: Json, body: Json) -> Json:
        every = [{"name": f"projects/{NUMBER}/secrets/{name}"} for name in sorted(self.secrets)]
        return _page("secrets", every, query)

    def make_secret(self, query: Json, body: Json) -> Json:
        [name] = query["secretId"]
        if name in self.secrets:
            raise Refusal(409, f"Secret [{name}] already exists.", "ALREADY_EXISTS")
        if "replication" not in body:
            raise Refusal(400, "Field [secret.replication] is required.")
        self.secrets[name] = []
        return {"name": f"projects/{NUMBER}/secrets/{name}"}

    def add_version(self, query: Json, body: Json, name: str) -> Json:
        versions = self._secret(name)
        full = f"projects/{NUMBER}/secrets/{name}/versions/{len(versions) + 1}"
        versions.append({"name": full, "state": "ENABLED", "data": body["payload"]["data"]})
        return {"name": full, "state": "ENABLED"}

    def list_versions(self, query: Json, body: Json, name: str) -> Json:
        state = query.get("filter", ["state:"])[0].removeprefix("state:")
        newest_first = [
            {"name": version["name"], "state": version["state"]}
            for version in reversed(self._secret(name))
            if state in version["state"]
        ]
        return _page("versions", newest_first, query)

    def read_version(self, query: Json, body: Json, name: str, number: str) -> Json:
        version = self._secret(name)[int(number) - 1]
        if version["state"] != "ENABLED":
            raise Refusal(400, f"{version['name']} is in {version['state']} state.", "FAILED_PRECONDITION")
        return {"name": version["name"], "payload": {"data": version["data"]}}

    def _secret(self, name: str) -> list[Json]:
        if name not in self.secrets:
            raise Refusal(404, f"Secret [projects/{NUMBER}/secrets/{name}] not found.")
        return self.secrets[name]

    # Cloud Run, Cloud Scheduler

    def look_at_service(self, query: Json, body: Json, name: str) -> Json:
        if name not in self.services:
            raise Refusal(404, f"Resource '{name}' of kind 'SERVICE' does not exist.")
        return self.services[name]

    def list_jobs(self, query: Json, body: Json, parent: str) -> Json:
        _require_scheduler_region(parent)
        return _page(
            "jobs", [job for name, job in sorted(self.jobs.items()) if name.startswith(parent)], query
        )

    def make_job(self, query: Json, body: Json, parent: str) -> Json:
        _require_scheduler_region(parent)
        if body["name"] in self.jobs:
            raise Refusal(409, f"Job [{body['name']}] already exists.", "ALREADY_EXISTS")
        target = body["httpTarget"] | {"headers": {"User-Agent": "Google-Cloud-Scheduler"}}
        retry = {"maxRetryDuration": "0s"} | body["retryConfig"]
        told = {"httpTarget": target, "retryConfig": retry, "state": "ENABLED"}
        self.jobs[body["name"]] = body | told | {"scheduleTime": "2026-11-21T00:00:00Z"}
        return self.jobs[body["name"]]

    def change_job(self, query: Json, body: Json, name: str) -> Json:
        if name not in self.jobs:
            raise Refusal(404, "Job not found.")
        self.jobs[name] |= {field: body[field] for field in query["updateMask"][0].split(",")}
        return self.jobs[name]

    def delete_job(self, query: Json, body: Json, name: str) -> Json:
        del self.jobs[name]
        return {}


def _require_scheduler_region(parent: str) -> None:
    if parent.endswith("/europe-west9"):
        raise Refusal(404, "Location 'europe-west9' is not a valid location.")


def _page(key: str, items: list[Json], query: Json) -> Json:
    start = int(query.get("pageToken", ["0"])[0])
    page: Json = {key: items[start : start + PAGE]}
    return page | ({"nextPageToken": str(start + PAGE)} if len(items) > start + PAGE else {})


HERE = f"v1/projects/{PROJECT}"
POOL = r"projects/\d+/locations/global/workloadIdentityPools"
SECRET = f"v1/projects/(?:{PROJECT}|{NUMBER})/secrets"
HANDLERS: list[tuple[str, str, str, Callable[..., Json]]] = [
    ("serviceusage", "GET", f"{HERE}/services:batchGet", Cloud.look_at_apis),
    ("serviceusage", "GET", f"{HERE}/services/([a-z.]+)", Cloud.look_at_api),
    ("serviceusage", "POST", f"{HERE}/services:batchEnable", Cloud.switch_on),
    ("serviceusage", "GET", r"v1/(operations/\S+)", Cloud.look_at_operation),
    ("iam", "GET", f"{HERE}/serviceAccounts/([^/:]+)", Cloud.look_at_account),
    ("iam", "POST", f"{HERE}/serviceAccounts", Cloud.make_account),
    ("iam", "GET", rf"v1/({POOL}/.+/operations/\d+)", Cloud.look_at_operation),
    ("iam", "GET", f"v1/({POOL}/.+)", Cloud.look_at_pool),
    ("iam", "POST", f"v1/({POOL}|{POOL}/[^/]+/providers)", Cloud.make_pool),
    ("iam", "POST", f"v1/({POOL}/.+):undelete", Cloud.bring_pool_back),
    ("iam", "PATCH", f"v1/({POOL}/.+)", Cloud.change_pool),
    ("secretmanager", "GET", SECRET, Cloud.list_secrets),
    ("secretmanager", "POST", SECRET, Cloud.make_secret),
    ("secretmanager", "POST", f"{SECRET}/([^/:]+):addVersion", Cloud.add_version),
    ("secretmanager", "GET", f"{SECRET}/([^/:]+)/versions", Cloud.list_versions),
    ("secretmanager", "GET", rf"{SECRET}/([^/:]+)/versions/(\d+):access", Cloud.read_version),
    ("run", "GET", "v2/(projects/[^/]+/locations/[^/]+/services/[^/:]+)", Cloud.look_at_service),
    ("cloudscheduler", "GET", "v1/(projects/[^/]+/locations/[^/]+)/jobs", Cloud.list_jobs),
    ("cloudscheduler", "POST", "v1/(projects/[^/]+/locations/[^/]+)/jobs", Cloud.make_job),
    ("cloudscheduler", "PATCH", "v1/(projects/[^/]+/locations/[^/]+/jobs/[^/]+)", Cloud.change_job),
    ("cloudscheduler", "DELETE", "v1/(projects/[^/]+/locations/[^/]+/jobs/[^/]+)", Cloud.delete_job),
    *(
        (service, method, rf"{version}/(projects/[^:]+):{verb}IamPolicy", handler)
        for service, version, reads in (
            ("cloudresourcemanager", "v3", "POST"),
            ("iam", "v1", "POST"),
            ("secretmanager", "v1", "GET"),
            ("run", "v2", "GET"),
        )
        for method, verb, handler in ((reads, "get", Cloud.read_policy), ("POST", "set", Cloud.write_policy))
    ),
]


def key_file(endpoint: str) -> Json:
    """Returns a service account's key file, whose tokens the fake issues."""
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "client_email": f"owner@{PROJECT}.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        "private_key_id": "1",
        "token_uri": f"{endpoint}/token",
    }


def _is_ours(authorization: str) -> bool:
    """Google takes tokens that it gave out, and those that the account signed itself."""
    token = authorization.removeprefix("Bearer ")
    if token == TOKEN:
        return True
    try:
        jwt.decode(token, KEY.public_key(), ["RS256"], options={"verify_aud": False})
    except jwt.PyJWTError:
        return False
    return True


class Result(NamedTuple):
    """Holds the result of a set-up: exit status and output."""

    code: int
    says: str
    errors: str

    @property
    def lines_of_changes(self) -> list[str]:
        """A line for each change."""
        verbs = ("switch", "make", "give", "take", "add", "change", "bring", "delete")
        return [
            line for line in self.says.splitlines() if line.startswith(tuple(f"{verb} " for verb in verbs))
        ]


class SetUp(Protocol):
    def __call__(self, *arguments: str, **changes: str | None) -> Result: ...


@contextmanager
def serving(cloud: Cloud) -> Iterator[str]:
    """Serves it on a free port; gives the address without a service."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # In one packet, or each answer waits 40 ms for the acknowledgement of its headers.
        wbufsize = -1

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

        def _reply(self) -> None:
            code: int
            answer: Json
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            address = urlsplit(self.path)
            service, _, path = address.path.lstrip("/").partition("/")
            try:
                if service == "token":
                    answer, code = {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}, 200
                elif not _is_ours(self.headers.get("Authorization", "")):
                    raise Refusal(401, "Request had invalid authentication credentials.")
                else:
                    body = json.loads(sent) if sent else {}
                    answer, code = (
                        cloud.answer(service, self.command, path, parse_qs(address.query), body),
                        200,
                    )
            except Refusal as refusal:
                answer, code = refusal.body, refusal.code
            data = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._reply)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
