"""Enables the Google APIs that Supadesk needs."""

from deploy.setup.google import Changes, Google, PendingChange

APIS = (
    "artifactregistry",
    "cloudbuild",
    "cloudresourcemanager",
    "cloudscheduler",
    "iam",
    "iamcredentials",
    "logging",
    "run",
    "secretmanager",
    "storage",
    "sts",
)


def apis(google: Google) -> Changes:
    """Enables the disabled APIs in one change."""
    services = f"projects/{google.project}/services"
    names = [f"{api}.googleapis.com" for api in APIS]
    query = "&".join(f"names={services}/{name}" for name in names)
    states = google.call("serviceusage", "GET", f"v1/{services}:batchGet?{query}")["services"]
    disabled = sorted({state["name"].rpartition("/")[2] for state in states if state["state"] != "ENABLED"})
    if disabled:
        yield PendingChange(f"switch on {', '.join(disabled)}", lambda: _enable(google, disabled))


def _enable(google: Google, names: list[str]) -> None:
    path = f"v1/projects/{google.project}/services:batchEnable"
    google.finish("serviceusage", "v1", google.call("serviceusage", "POST", path, {"serviceIds": names}))
