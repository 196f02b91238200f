"""How the stack's own web services are served."""

import uvicorn
from starlette.applications import Starlette


def serve(app: Starlette, port: int) -> None:
    """Serve on the loopback interface until told to stop."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        # What is forwarded has these already.
        date_header=False,
        server_header=False,
        # The client is who connects to us, whatever it says.
        proxy_headers=False,
        timeout_graceful_shutdown=3,
        # Longer than any client of the stack keeps an idle connection: a client must never send on one
        # that is being closed. Front ends on hosted projects keep them longer still.
        timeout_keep_alive=75,
    )
