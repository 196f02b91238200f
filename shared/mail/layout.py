"""What a mail consists of, once as plain text and once as HTML."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from shared.text import printable

FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
PARAGRAPH = "margin:0 0 16px"
QUOTE = "margin:0 0 16px;padding:12px 16px;background:#f4f6f8;border-left:4px solid #c3ccd6;border-radius:4px"
BUTTON = (
    "display:inline-block;padding:10px 20px;background:#1d4f91;color:#ffffff;text-decoration:none;"
    "border-radius:6px;font-weight:600"
)
ITEM = "padding:10px 0;border-top:1px solid #e3e8ed;vertical-align:top"
LINK = "color:#1d4f91;text-decoration:none;font-weight:600"
SMALL = "font-size:13px;line-height:1.5;color:#66717d"
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
</head>
<body style="margin:0;padding:24px 12px;background:#eef1f4;{font};font-size:16px;line-height:1.5;color:#1c2530">
<table role="presentation" align="center" width="100%" style="max-width:600px;border-collapse:collapse">
<tr><td style="padding:32px 32px 16px;background:#ffffff;border-radius:8px;overflow-wrap:anywhere">
<h1 style="margin:0 0 16px;font-size:22px;line-height:1.3">{title}</h1>
{body}
</td></tr>
<tr><td style="padding:16px 32px;{small}">{footer}</td></tr>
</table>
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


def as_text(letter: Letter) -> str:
    blocks = "\n\n".join(_block_text(block) for block in letter.blocks)
    return printable(f"{letter.title}\n\n{blocks}\n\n-- \n{letter.footer}\n")


def as_html(letter: Letter) -> str:
    return PAGE.format(
        title=_html(letter.title),
        body="\n".join(_block_html(block) for block in letter.blocks),
        footer=_html(letter.footer),
        font=FONT,
        small=SMALL,
    )


def _block_text(block: Block) -> str:
    match block:
        case Paragraph(text):
            return text
        case Quote(text):
            return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
        case Button(label, url):
            return f"{label}: {url}"
        case Items(items):
            return "\n\n".join(f"{item.number}  {item.title}\n{item.detail}\n{item.url}" for item in items)


def _block_html(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f'<p style="{PARAGRAPH}">{_html(text)}</p>'
        case Quote(text):
            return f'<div style="{QUOTE}">{_html(text)}</div>'
        case Button(label, url):
            return f'<p style="{PARAGRAPH}"><a href="{_html(url)}" style="{BUTTON}">{_html(label)}</a></p>'
        case Items(items):
            rows = "\n".join(_item_html(item) for item in items)
            return f'<table role="presentation" width="100%" style="border-collapse:collapse;{PARAGRAPH}">\n{rows}\n</table>'


def _item_html(item: Item) -> str:
    return (
        f'<tr><td style="{ITEM}"><a href="{_html(item.url)}" style="{LINK}">{_html(item.number)}</a>'
        f' {_html(item.title)}<br><span style="{SMALL}">{_html(item.detail)}</span></td></tr>'
    )


def _html(text: str) -> str:
    return escape(printable(text)).replace("\n", "<br>\n").replace("  ", "&nbsp; ")
