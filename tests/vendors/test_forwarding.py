"""Writes issues of tickets: a person's text arrives as text, and as nothing else."""

import re
from typing import Any

import pytest

from shared.linear.forwarding import (
    MAX_ISSUE_TITLE,
    NewComment,
    NewIssue,
    comment_of,
    description_of,
    escape_markdown,
    fenced_block,
    title_of,
)

TICKET: dict[str, Any] = {
    "ticket_id": "6ab5bb02-3c51-4d6c-9a30-0a2b3b5d6f11",
    "ticket_number": "SUP-00042",
    "team": "ENG",
    "label": "Bug",
    "priority": "high",
    "subject": "The export does nothing",
    "issue_type": "bug",
    "category": "Bug",
    "description": "I press it and wait.",
    "context": {"app_version": "1.0.0", "retries": 3, "signed_in": True, "nothing": None},
    "requester_name": "Ada",
    "requester_email": "ada@example.com",
    "attachments": ["https://files.example.com/1.png"],
}
WILD = (
    "@ada please [click](javascript:alert(1)) <img src=x onerror=alert(1)>",
    "```\nout of the fence\n```",
    "````` five\n``````` seven ``` three",
    "~~~\ntildes\n~~~",
    "# heading\n- [ ] task\n> quote\n\n---\n\n| a | b |\n|---|---|",
    "ends with backticks ```",
    "```js",
    "line one\r\nline two\rline three",
    "\u202eturned around\u2066",
)


def new_issue(**changes: Any) -> NewIssue:
    return NewIssue.model_validate(TICKET | changes)


def outside_of_fences(markdown: str) -> str:
    """Returns the text that markdown interprets, by CommonMark's rule for the end of a fence."""
    left, closing = [], None
    for line in markdown.split("\n"):
        fence = re.match(r"(`{3,})(\w*)$", line)
        if closing is None and fence:
            closing = len(fence[1])
        elif closing is None:
            left.append(line)
        elif re.fullmatch(rf" {{0,3}}`{{{closing},}}\s*", line):
            closing = None
    assert closing is None, "a fence is left open"
    return "\n".join(left)


def test_an_issue_tells_everything_that_the_ticket_does() -> None:
    text = description_of(new_issue())
    for fact in ("SUP-00042", "Ada ada@example.com", "I press it and wait.", "1.0.0", "3", "true", "1.png"):
        assert fact in text
    assert "nothing" not in text.lower().replace("does nothing", "")
    assert title_of(new_issue()) == "[SUP-00042] The export does nothing"


@pytest.mark.parametrize("wild", WILD)
def test_a_persons_text_stays_inside_its_fence_whatever_it_is(wild: str) -> None:
    tame = outside_of_fences(description_of(new_issue(description="tame", context={"note": "tame"})))
    marked = description_of(
        new_issue(description=wild, context={"note": wild}, requester_name=wild, attachments=[])
    )
    without_attachments = outside_of_fences(description_of(new_issue(
        description="tame", context={"note": "tame"}, attachments=[])))  # fmt: skip
    assert outside_of_fences(marked) == without_attachments
    assert "Attachments" in tame


@pytest.mark.parametrize("wild", WILD)
def test_a_reply_stays_inside_its_fence_too(wild: str) -> None:
    comment = NewComment(
        ticket_id="t",
        message_id="m",
        author="customer",
        author_name=wild,
        body=wild,
        attachments=["https://x"],
    )
    assert outside_of_fences(comment_of(comment)) == "**The customer** replied:\n"


def test_the_words_themselves_arrive_unchanged() -> None:
    assert "\n`````` five\n" in "\n" + fenced_block("`````` five") + "\n"
    assert fenced_block("plain\n\n  indented") == "```text\nplain\n\n  indented\n```"


def test_a_title_is_one_line_and_not_too_long() -> None:
    title = title_of(new_issue(subject="a\nb\u2028c " + "x" * 255))
    assert "\n" not in title
    assert "\u2028" not in title
    assert len(title) == MAX_ISSUE_TITLE


def test_the_names_of_fields_and_categories_format_nothing() -> None:
    assert escape_markdown("a_b *c* [d](e) @f <g>") == r"a\_b \*c\* \[d\]\(e\) \@f \<g\>"
    text = description_of(new_issue(category="**loud**", context={"order_id": "A-17"}))
    assert r"\*\*loud\*\*" in text
    assert "**Order id**\n\n```text\nA-17\n```" in text
