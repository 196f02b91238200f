"""Maps fields of requests to arguments of RPCs, and arguments back to the paths of fields."""

import subprocess
import sys
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import AliasChoices, Field, computed_field

from local.process import ROOT
from shared.requests.arguments import Arguments, Feeds, InContext
from shared.requests.parsing import Body, EitherCase
from shared.requests.partners import PartnerTransfer
from shared.requests.tickets import Bug, Chatbot, Contact, Feedback, Other, Support


class Inherited(Body):
    path_prefix: ClassVar[str] = "payload."

    sender: str | None = Field(None, serialization_alias="requester")


class Sample(Inherited):
    title: str = Field("t", serialization_alias="subject")
    email: str | None = Field(None, serialization_alias="requester")
    text: Annotated[str, Feeds("summary")] = "long"
    browser: InContext[str | None] = None
    secret: str | None = Field("s", exclude=True)
    day: str | None = Field(None, validation_alias=AliasChoices("from", "since"))

    @computed_field
    def summary(self) -> str:
        return self.text[:1]


def test_a_field_is_sent_as_its_serialization_alias() -> None:
    assert Sample.model_validate({}).arguments() == {
        "subject": "t",
        "requester": None,
        "text": "long",
        "summary": "l",
        "context.browser": None,
        "day": None,
    }


@pytest.mark.parametrize(
    ("fields", "value", "path"),
    [
        ({}, None, "email"),
        ({"sender": "a"}, "a", "sender"),
        ({"email": "b"}, "b", "email"),
        ({"sender": "a", "email": "b"}, "b", "email"),
    ],
)
def test_the_first_field_with_a_value_is_the_argument(
    fields: dict[str, Any], value: str | None, path: str
) -> None:
    sample = Sample.model_validate(fields)
    assert sample.arguments()["requester"] == value
    assert sample.request_path("requester") == f"payload.{path}"


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("subject", "payload.title"),
        ("summary", "payload.text"),
        ("context.browser", "payload.browser"),
        ("context.other", "payload.context.other"),
        ("subject.0.body", "payload.title.0.body"),
        ("day", "payload.from"),
        ("unknown", "payload.unknown"),
    ],
)
def test_an_argument_names_the_field_that_it_came_from(argument: str, path: str) -> None:
    assert Sample.model_validate({}).request_path(argument) == path


def test_a_camel_case_field_is_sent_under_its_own_name() -> None:
    class Camel(EitherCase):
        some_field: str

    camel = Camel.model_validate({"someField": "x"})
    assert camel.arguments() == {"some_field": "x"}
    assert camel.request_path("some_field.1") == "someField.1"


@pytest.mark.parametrize("model", [Bug, Chatbot, Contact, Feedback, Other, PartnerTransfer, Support])
def test_every_argument_is_made_of_a_field(model: type[Arguments]) -> None:
    """Without a `Feeds`, the errors of a computed argument would name a field that no request has."""
    names = {
        str(alias)
        for field, info in model.model_fields.items()
        for alias in (
            field,
            *(info.validation_alias.choices if isinstance(info.validation_alias, AliasChoices) else ()),
            info.validation_alias,
        )
    }
    request = model.model_construct(**dict.fromkeys(model.model_fields))
    for argument in [*model.model_computed_fields, *model.model_fields]:
        assert request.request_path(argument).removeprefix(model.path_prefix).split(".")[0] in names


def test_no_model_is_built_before_its_first_request() -> None:
    """Building costs a cold start its plugins and validators."""
    program = "import sys, shared.requests.tickets; print('pydantic.plugin._loader' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert run.stdout == "False\n"
