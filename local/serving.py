"""Serves the stack's own web services."""

import uvicorn
from starlette.applications import Starlette


def serve(app: Starlette, port: int) -> None:
    """Serves on the loopback interface until a signal stops it."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        # Forwarded responses have these already.
        date_header=False,
        server_header=False,
        # The client is the peer of the connection: forwarding headers can be forged.
        proxy_headers=False,
        timeout_graceful_shutdown=3,
        # Longer than any client of the stack keeps an idle connection: none may send on a closing one.
        # Front ends on hosted projects keep them longer still.
        timeout_keep_alive=75,
    )
