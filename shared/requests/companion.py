"""What somebody wants filed who says so in a chat."""

from hashlib import sha256
from typing import Annotated

from shared.requests.conversations import Messages, said
from shared.requests.fields import LONGEST_DESCRIPTION, Description, Maybe, Short, as_subject
from shared.requests.parsing import EitherCase, named
from shared.triage.verdict import Said


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
