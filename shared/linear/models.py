"""Linear's issues and comments as the desk takes them in, whether Linear was asked or has sent a webhook."""

from typing import Any

from pydantic import AliasPath, BaseModel, Field, ValidationError


class Issue(BaseModel):
    """What the desk knows of an issue; its names are those that the database has for it."""

    issue_id: str = Field(validation_alias="id")
    identifier: str
    url: str
    state_name: str = Field(validation_alias=AliasPath("state", "name"))
    state_type: str = Field(validation_alias=AliasPath("state", "type"))
    updated_at: str = Field(validation_alias="updatedAt")
    removed: bool | None = Field(default=None, validation_alias="trashed")

    def known(self) -> dict[str, Any]:
        """As the database takes it."""
        return self.model_dump()


class Author(BaseModel):
    name: str | None = None


class Comment(BaseModel):
    comment_id: str = Field(validation_alias="id")
    body: str
    issue_id: str | None = Field(default=None, validation_alias=AliasPath("issue", "id"))
    user: Author | None = Field(default=None, exclude=True)
    bot: Author | None = Field(default=None, validation_alias="botActor", exclude=True)

    def known(self) -> dict[str, Any]:
        """As the database takes it."""
        author = self.user or self.bot or Author()
        return self.model_dump() | {"author_name": author.name}


class LinearEvent(BaseModel):
    """What every webhook of Linear has; `data` is the issue, the comment, or something that is not ours to know."""

    action: str
    type: str
    data: dict[str, Any]
    sent_at_ms: int = Field(validation_alias="webhookTimestamp")
    url: str | None = None

    def news(self) -> dict[str, list[dict[str, Any]]]:
        """Arguments of receive_linear; none for what the desk does not follow."""
        try:
            if self.type == "Issue":
                removed = {"trashed": True} if self.action == "remove" else {}
                return {"issues": [Issue.model_validate({"url": self.url} | self.data | removed).known()]}
            if self.type == "Comment" and self.action == "create":
                issue = {"issue": {"id": self.data.get("issueId")}}
                return {"comments": [Comment.model_validate(issue | self.data).known()]}
        except ValidationError:
            pass  # An issue without a state, a comment on something else: the next poll knows better.
        return {}
