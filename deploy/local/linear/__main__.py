"""Serve with what the environment says."""

import os
from pathlib import Path

from deploy.local.linear.limits import Limits
from deploy.local.linear.records import Records
from deploy.local.linear.seed import connect
from deploy.local.linear.service import create_app
from deploy.local.linear.workspace import Workspace
from deploy.local.serving import serve


def main() -> None:
    port = int(os.environ["PORT"])
    workspace = Workspace(Records(Path(os.environ["DATA"])), f"http://127.0.0.1:{port}")
    limits = Limits(int(os.environ["REQUESTS_PER_HOUR"]))
    connect(workspace.records, os.environ["WEBHOOK_URL"], os.environ["LINEAR_WEBHOOK_SECRET"])
    minute = float(os.environ["MINUTE"])
    serve(create_app(workspace, os.environ["LINEAR_API_KEY"], limits, minute), port)


if __name__ == "__main__":
    main()
