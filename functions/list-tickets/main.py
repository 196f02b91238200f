"""Lists tickets and categories, shows one ticket, and counts tickets for agents."""

from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.requests.filters import ConversationPage, StatsRange, TicketFilters


async def list_page(call: Call) -> Answer:
    filters = call.query(TicketFilters)
    return await call.rpc("list_tickets", filters.arguments(), filters.request_path)


async def show_ticket(call: Call) -> Answer:
    ticket, page = call.ticket, call.query(ConversationPage)
    return await call.rpc("get_ticket", ticket | page.arguments(), page.request_path)


async def list_categories(call: Call) -> Answer:
    call.headers["Cache-Control"] = "public, max-age=300"
    return await call.rpc("list_categories", {})


async def count(call: Call) -> Answer:
    days = call.query(StatsRange)
    return await call.rpc("stats", days.arguments(), days.request_path)


list_tickets = endpoint(
    "list-tickets",
    {
        "GET /": list_page,
        "GET /{ticket}": show_ticket,
        "GET /categories": list_categories,
        "GET /stats": count,
    },
    anonymous=("GET /{ticket}", "GET /categories"),
)
