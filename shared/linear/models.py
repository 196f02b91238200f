"""Models Linear's issues and comments, from answers and webhooks alike."""

from typing import Any

from pydantic import AliasPath, BaseModel, Field, ValidationError


class Issue(BaseModel):
    """Parses an issue of Linear; the field names are the database's."""

    issue_id: str = Field(validation_alias="id")
    identifier: str
    url: str
    state_name: str = Field(validation_alias=AliasPath("state", "name"))
    state_type: str = Field(validation_alias=AliasPath("state", "type"))
    updated_at: str = Field(validation_alias="updatedAt")
    removed: bool | None = Field(default=None, validation_alias="trashed")

    def facts(self) -> dict[str, Any]:
        """Returns the fields as the database's functions take them."""
        return self.model_dump()


class CommentAuthor(BaseModel):
    name: str | None = None


class Comment(BaseModel):
    """Parses a comment of Linear; the field names are the database's."""

    comment_id: str = Field(validation_alias="id")
    body: str
    issue_id: str | None = Field(default=None, validation_alias=AliasPath("issue", "id"))
    user: CommentAuthor | None = Field(default=None, exclude=True)
    bot: CommentAuthor | None = Field(default=None, validation_alias="botActor", exclude=True)

    def facts(self) -> dict[str, Any]:
        """Returns the fields as the database's functions take them."""
        author = self.user or self.bot or CommentAuthor()
        return self.model_dump() | {"author_name": author.name}


class LinearEvent(BaseModel):
    """Parses a webhook of Linear; `data` is an issue, a comment or another object, which is ignored."""

    action: str
    type: str
    data: dict[str, Any]
    sent_at_ms: int = Field(validation_alias="webhookTimestamp")
    url: str | None = None

    def changes(self) -> dict[str, list[dict[str, Any]]]:
        """Returns the arguments of receive_linear; an empty dict for an event to ignore."""
        try:
            if self.type == "Issue":
                removed = {"trashed": True} if self.action == "remove" else {}
                return {"issues": [Issue.model_validate({"url": self.url} | self.data | removed).facts()]}
            if self.type == "Comment" and self.action == "create":
                issue = {"issue": {"id": self.data.get("issueId")}}
                return {"comments": [Comment.model_validate(issue | self.data).facts()]}
        except ValidationError:
            pass  # An issue without a state, or a comment on another object; the next poll reads the rest.
        return {}
