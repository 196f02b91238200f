"""What somebody wants filed who says so in a chat. The phrases are data: companion.toml."""

import tomllib
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from shared.fields import Description, Maybe, Short
from shared.payloads import LONGEST_DESCRIPTION, as_subject
from shared.rules import TABLE, Rules, load, matches
from shared.transfers import EitherCase, Messages, named, said
from shared.triage import LONGEST_MESSAGE, Said

WISHES = Path(__file__).with_name("companion.toml")


class Chat(EitherCase):
    """What was just said to the companion, and what had been said before."""

    message: Description
    conversation_id: Maybe[Short] = None
    messages: Annotated[
        Maybe[Messages], named("messages", "history", "conversationHistory", "conversation_history")
    ] = None

    @property
    def conversation(self) -> list[Said]:
        return [*said(self.messages or []), Said("customer", self.message)]

    @property
    def words_of_customer(self) -> list[str]:
        """All that the customer said, the message last; the history may end with it."""
        words = [text for role, text in self.conversation if role == "customer" and text]
        return words[:-1] if words[-2:-1] == words[-1:] else words

    @property
    def subject(self) -> str:
        """The first line of what says most."""
        return as_subject(max(self.words_of_customer, key=len))

    @property
    def description(self) -> str:
        """What the customer said, the latest of it where all is too long."""
        return "\n\n".join(self.words_of_customer)[-LONGEST_DESCRIPTION:].lstrip()

    @property
    def key(self) -> str | None:
        """The same words in the same conversation are the same report."""
        if self.conversation_id is None:
            return None
        return sha256("\0".join((self.conversation_id, self.description)).encode()).hexdigest()


def wish_of(message: str) -> str | None:
    """What the message asks to file: a bug, or feedback of a category."""
    found = matches(message[:LONGEST_MESSAGE], _wishes())
    return next((match.points_to for match in found if not match.is_denied), None)


@cache
def _wishes() -> Rules:
    told = tomllib.loads(WISHES.read_text())
    language = tomllib.loads(TABLE.read_text())["language"] | {"questions": told["questions"]}
    return load(told | {"always": "", "language": language})
