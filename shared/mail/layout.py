"""What a mail consists of, once as plain text and once as HTML."""

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from unicodedata import bidirectional

from shared.text import printable

# In sentences only; both bodies come without them.
ISOLATE, END_OF_ISOLATE = "\u2068", "\u2069"

# No tables, no widths and hardly a colour: the reader's program brings its own, light or dark, and right to left.
FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:16px;line-height:1.5"
TITLE = "margin:0 0 16px;font-size:22px;line-height:1.3"
PARAGRAPH = "margin:0 0 16px"
# Each line in its own direction, where the program knows how; by the first of them elsewhere (dir="auto").
QUOTE = "unicode-bidi:plaintext;margin:0 0 16px;padding:12px 16px;border:1px solid #8a949e;border-radius:4px"
BUTTON = "font-weight:bold;text-decoration:underline"
ITEM = "margin:0 0 12px"
LINK = "font-weight:bold"
SMALL = "font-size:13px;line-height:1.5"
FOOTER = "margin:24px 0 0;padding:12px 0 0;border-top:1px solid #8a949e"
PAGE = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
<style>:root {{ color-scheme: light dark; supported-color-schemes: light dark; }}</style>
</head>
<body style="margin:0;padding:24px 16px;{font}">
<div style="max-width:600px;margin:0 auto;overflow-wrap:anywhere;word-wrap:break-word">
<h1 dir="auto" style="{title_style}">{headline}</h1>
{body}
<p dir="auto" style="{footer_style};{small}">{footer}</p>
</div>
</body>
</html>
"""


class Paragraph(NamedTuple):
    text: str


class Quote(NamedTuple):
    """Somebody's words, line breaks and all."""

    text: str


class Button(NamedTuple):
    label: str
    url: str


class Item(NamedTuple):
    """One ticket of a list."""

    number: str
    title: str
    detail: str
    url: str


class Items(NamedTuple):
    items: Sequence[Item]


Block = Paragraph | Quote | Button | Items


class Letter(NamedTuple):
    title: str
    blocks: Sequence[Block]
    footer: str
    language: str = "en"


def isolated(name: str) -> str:
    """Marks a right-to-left name inside a sentence; `name` is one line and has no such marks."""
    right_to_left = any(bidirectional(character) in ("R", "AL") for character in name)
    return f"{ISOLATE}{name}{END_OF_ISOLATE}" if right_to_left else name


def as_text(letter: Letter) -> str:
    blocks = "\n\n".join(_block_text(block) for block in letter.blocks)
    return printable(f"{letter.title}\n\n{blocks}\n\n-- \n{letter.footer}\n")


def as_html(letter: Letter) -> str:
    return PAGE.format(
        language=_html(letter.language),
        title=_html(letter.title),
        headline=_sentence_html(letter.title),
        body="\n".join(_block_html(block) for block in letter.blocks),
        footer=_html(letter.footer),
        font=FONT,
        title_style=TITLE,
        footer_style=FOOTER,
        small=SMALL,
    )


def _block_text(block: Block) -> str:
    match block:
        case Paragraph(text):
            return text
        case Quote(text):
            return "\n".join(f"> {line}".rstrip() for line in printable(text).splitlines())
        case Button(label, url):
            return f"{label}: {url}"
        case Items(items):
            return "\n\n".join(f"{item.number}  {item.title}\n{item.detail}\n{item.url}" for item in items)


def _block_html(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f'<p dir="auto" style="{PARAGRAPH}">{_sentence_html(text)}</p>'
        case Quote(text):
            return f'<blockquote dir="auto" style="{QUOTE}">{_html(text)}</blockquote>'
        case Button(label, url):
            return f'<p style="{PARAGRAPH}"><a href="{_html(url)}" style="{BUTTON}">{_html(label)}</a></p>'
        case Items(items):
            return "\n".join(map(_item_html, items))


def _item_html(item: Item) -> str:
    return (
        f'<div style="{ITEM}"><a href="{_html(item.url)}" style="{LINK}">{_html(item.number)}</a>'
        f' <span dir="auto">{_html(item.title)}</span><br><span style="{SMALL}">{_html(item.detail)}</span></div>'
    )


def _sentence_html(text: str) -> str:
    """A sentence of ours, in which a name turns neither the sentence nor its punctuation."""
    pieces = re.split(f"[{ISOLATE}{END_OF_ISOLATE}]", text)
    return "".join(f"<bdi>{_html(p)}</bdi>" if n % 2 else _html(p) for n, p in enumerate(pieces))


def _html(text: str) -> str:
    return escape(printable(text)).replace("\n", "<br>\n").replace("  ", "&nbsp; ")
