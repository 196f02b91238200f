"""Reads a customer's message to the companion, and makes a ticket's texts of the chat."""

from hashlib import sha256
from typing import Annotated

from shared.requests.conversations import Messages, triage_messages
from shared.requests.fields import MAX_DESCRIPTION, Description, Maybe, Short, as_subject
from shared.requests.parsing import EitherCase, aliases
from shared.triage.verdict import Message


class Chat(EitherCase):
    """Models a message to the companion, with the conversation before it."""

    message: Description
    conversation_id: Maybe[Short] = None
    messages: Annotated[
        Maybe[Messages], aliases("messages", "history", "conversationHistory", "conversation_history")
    ] = None

    @property
    def conversation(self) -> list[Message]:
        return [*triage_messages(self.messages or []), Message("customer", self.message)]

    @property
    def customer_texts(self) -> list[str]:
        """Lists the customer's messages, the new one last and once, even if the history ends with it."""
        texts = [text for role, text in self.conversation if role == "customer" and text]
        return texts[:-1] if texts[-2:-1] == texts[-1:] else texts

    @property
    def subject(self) -> str:
        """Takes the first line of the longest message."""
        return as_subject(max(self.customer_texts, key=len))

    @property
    def description(self) -> str:
        """Joins the customer's messages; of too long a text, keeps the end."""
        return "\n\n".join(self.customer_texts)[-MAX_DESCRIPTION:].lstrip()

    @property
    def key(self) -> str | None:
        """Derives an idempotency key: the same words in the same conversation are the same report."""
        if self.conversation_id is None:
            return None
        return sha256("\0".join((self.conversation_id, self.description)).encode()).hexdigest()
