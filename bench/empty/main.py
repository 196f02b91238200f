"""An async function that does nothing: what the framework costs by itself."""

import functions_framework.aio
from starlette.requests import Request


@functions_framework.aio.http
async def empty(request: Request) -> dict[str, bool]:
    return {"success": True}
