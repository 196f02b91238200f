"""Serves the fake as the environment configures it."""

import os
from pathlib import Path

from local.linear.limits import Limits
from local.linear.records import Records
from local.linear.seed import register_webhook
from local.linear.service import create_app
from local.linear.workspace import Workspace
from local.serving import serve


def main() -> None:
    port = int(os.environ["PORT"])
    workspace = Workspace(Records(Path(os.environ["DATA"])), f"http://127.0.0.1:{port}")
    limits = Limits(int(os.environ["REQUESTS_PER_HOUR"]))
    register_webhook(workspace.records, os.environ["WEBHOOK_URL"], os.environ["LINEAR_WEBHOOK_SECRET"])
    minute = float(os.environ["MINUTE"])
    serve(create_app(workspace, os.environ["LINEAR_API_KEY"], limits, minute), port)


if __name__ == "__main__":
    main()
