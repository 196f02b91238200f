"""Does nothing, to measure the cost of the framework alone."""

import functions_framework.aio
from starlette.requests import Request


@functions_framework.aio.http
async def empty(request: Request) -> dict[str, bool]:
    return {"success": True}
