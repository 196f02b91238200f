"""Implements the sweep naively: fetches every open ticket as an object and changes the late ones.

Runs in the peer's virtual environment. DATABASE_URL names the database; the table is desk.loop_tickets.
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


class LoopTicket(SQLModel, table=True):  # type: ignore[misc, call-arg]
    """Maps the columns that a ticket's page shows."""

    __tablename__ = "loop_tickets"
    __table_args__ = {"schema": "desk"}

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
    """Escalates the tickets that exceed the window of their priority; returns their numbers."""
    now = datetime.now(UTC)
    open_tickets = await session.exec(
        select(LoopTicket).where(LoopTicket.status == "open", LoopTicket.escalated == False)  # noqa: E712
    )
    late = []
    for ticket in open_tickets.all():
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
