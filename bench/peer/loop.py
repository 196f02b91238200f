"""The sweep as one would write it first: every open ticket is fetched as an object, and those that are late are changed.

Run in the virtual environment of what is compared with; DATABASE_URL names the database, and the table is public.loop_tickets.
"""

import asyncio
import json
import os
import resource
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import DateTime, Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

WINDOWS = {"urgent": 2, "high": 4, "medium": 24, "low": 48}


class Ticket(SQLModel, table=True):  # type: ignore[misc, call-arg]
    """What a ticket's page shows."""

    __tablename__ = "loop_tickets"
    __table_args__ = {"schema": "public"}

    id: UUID = Field(primary_key=True)
    ticket_number: str
    customer_id: UUID | None
    subject: str
    description: str
    category: str
    priority: str
    status: str
    assigned_to: UUID | None
    escalated: bool
    escalated_at: datetime | None = Field(sa_type=DateTime(timezone=True))
    created_at: datetime = Field(sa_type=DateTime(timezone=True))


async def escalate_late(session: AsyncSession) -> list[str]:
    """The numbers of the tickets that waited for longer than their priority allows, which are escalated now."""
    now = datetime.now(UTC)
    found = await session.exec(select(Ticket).where(Ticket.status == "open", Ticket.escalated == False))  # noqa: E712
    late = []
    for ticket in found.all():
        if now - ticket.created_at > timedelta(hours=WINDOWS[ticket.priority]):
            ticket.escalated = True
            ticket.escalated_at = now
            session.add(ticket)
            late.append(ticket.ticket_number)
    await session.commit()
    return late


async def main() -> None:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with AsyncSession(engine) as session:
        begun = time.perf_counter()
        late = await escalate_late(session)
        seconds = time.perf_counter() - begun
    await engine.dispose()
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "escalated": len(late), "megabytes": megabytes}))


asyncio.run(main())
