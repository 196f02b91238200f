"""Lists tickets, shows one, names the categories, and counts for agents."""

from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.requests.filters import StatsRange, TicketFilters


@endpoint(
    "GET /",
    "GET /{ticket}",
    "GET /categories",
    "GET /stats",
    anonymous=("GET /{ticket}", "GET /categories"),
)
async def list_tickets(call: Call) -> Answer:
    match call.route:
        case "GET /categories":
            call.headers["Cache-Control"] = "public, max-age=300"
            return await call.rpc("list_categories", {})
        case "GET /stats":
            days = call.query(StatsRange)
            return await call.rpc("stats", days.model_dump(), days.came_from)
        case "GET /{ticket}":
            return await call.rpc("get_ticket", call.ticket)
        case _:
            filters = call.query(TicketFilters)
            return await call.rpc("list_tickets", filters.arguments(), filters.came_from)
