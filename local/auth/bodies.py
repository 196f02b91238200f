"""Request bodies, with the rules that GoTrue has for them."""

import json
import re
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ValidationError, model_validator

from local.auth.errors import AuthError, invalid

MIN_PASSWORD = 6
MAX_PASSWORD = 72

B = TypeVar("B", bound="Body")


def _address(text: str) -> str:
    if text and not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("Unable to validate email address: invalid format")
    return text.lower()


def _phone(text: str) -> str:
    """Stores numbers as GoTrue does, without the plus."""
    number = text.replace(" ", "").removeprefix("+")
    if text and not re.fullmatch(r"[1-9]\d{1,14}", number, re.ASCII):
        raise ValueError("Invalid phone number format (E.164 required)")
    return number


def _password(text: str) -> str:
    if len(text.encode()) > MAX_PASSWORD:
        raise ValueError(f"Password cannot be longer than {MAX_PASSWORD} characters")
    if text and len(text) < MIN_PASSWORD:
        message = f"Password should be at least {MIN_PASSWORD} characters."
        raise AuthError(422, "weak_password", message, weak_password={"reasons": ["length"]})
    return text


Address = Annotated[str, AfterValidator(_address)]
Phone = Annotated[str, AfterValidator(_phone)]
Password = Annotated[str, AfterValidator(_password)]


class Body(BaseModel):
    """Any body: null stands for a missing value, as in Go."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Parses a body; raises AuthError."""
        try:
            # Go replaces lone surrogates where pydantic refuses them.
            text = json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _refusal(error) from None
        except ValueError:
            raise AuthError(400, "bad_json", "Could not parse request body as JSON") from None


def _refusal(error: ValidationError) -> AuthError:
    first = error.errors()[0]
    if first["type"] == "value_error":
        return invalid(first["msg"].removeprefix("Value error, "))
    field = ".".join(map(str, first["loc"]))
    return AuthError(400, "bad_json", f"Could not parse request body as JSON: {field} {first['msg']}")


class Contact(Body):
    """An address or a number."""

    email: Address = ""
    phone: Phone = ""

    def require_one(self, message: str) -> None:
        """Refuses both and neither."""
        if bool(self.email) == bool(self.phone):
            raise invalid(message)


class Flow(Body):
    """What a client sends that keeps a code verifier for the PKCE flow."""

    code_challenge: str = ""
    code_challenge_method: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.code_challenge) != bool(self.code_challenge_method):
            raise ValueError("PKCE flow requires code_challenge_method and code_challenge")
        if self.code_challenge_method.lower() not in ("", "s256", "plain"):
            raise ValueError("unsupported code_challenge method")
        return self


class PasswordGrant(Body):
    """Body of /token?grant_type=password: nothing here is refused for its form."""

    email: str = ""
    phone: str = ""
    password: str = ""


class RefreshGrant(Body):
    """Body of /token?grant_type=refresh_token."""

    refresh_token: str = ""


class CodeGrant(Body):
    """Body of /token?grant_type=pkce."""

    auth_code: str = ""
    code_verifier: str = ""


class SignUp(Contact, Flow):
    """Body of /signup."""

    password: Password = ""
    data: dict[str, Any] = {}


class UserChange(Contact, Flow):
    """Body of PUT /user."""

    password: Password = ""
    data: dict[str, Any] = {}


class CodeRequest(Contact, Flow):
    """Body of /otp and /magiclink."""

    create_user: bool = True
    data: dict[str, Any] = {}


class Recovery(Flow):
    """Body of /recover."""

    email: Address = ""


class Resend(Contact):
    """Body of /resend."""

    type: str = ""


class Verification(Contact):
    """Body, or query, of /verify."""

    type: str = ""
    token: str = ""
    token_hash: str = ""
    redirect_to: str = ""


class Invitation(Body):
    """Body of /invite."""

    email: Address = ""
    data: dict[str, Any] = {}


class LinkRequest(Body):
    """Body of /admin/generate_link."""

    type: str = ""
    email: Address = ""
    new_email: Address = ""
    password: Password = ""
    data: dict[str, Any] = {}
    redirect_to: str = ""


class ManagedUser(Contact):
    """Body of POST and PUT /admin/users."""

    id: UUID | None = None
    password: Password = ""
    email_confirm: bool = False
    phone_confirm: bool = False
    user_metadata: dict[str, Any] = {}
    app_metadata: dict[str, Any] = {}
    ban_duration: str = ""


class Deletion(Body):
    """Body of DELETE /admin/users/{id}."""

    should_soft_delete: bool = False


class Enrolment(Body):
    """Body of POST /factors."""

    factor_type: str = ""
    friendly_name: str = ""
    issuer: str = ""


class FactorCode(Body):
    """Body of POST /factors/{id}/verify."""

    challenge_id: UUID | None = None
    code: str = ""
