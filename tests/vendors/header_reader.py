"""Reads header fields strictly by RFC 5322 and RFC 2047, and shares no code with the writer."""

import base64
import re
from typing import NamedTuple

ATEXT = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~")
ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9-]+)\?([bqBQ])\?([!-<>@-~=]+)\?=")


class Mailbox(NamedTuple):
    name: str
    address: str


class BrokenError(AssertionError):
    """The field breaks a rule of the RFCs."""


def unfolded(field: str) -> str:
    """Checks the lines of a field and joins them."""
    lines = field.removesuffix("\r\n").split("\r\n")
    _require("\r" not in "".join(lines) and "\n" not in "".join(lines), "a line break of its own")
    for number, line in enumerate(lines):
        _require(len(line) <= (76 if "=?utf-8?" in line else 78), f"a line of {len(line)} characters")
        _require(number == 0 or (line[0] in " \t" and bool(line.strip())), "a folded line without text")
        _require(line == line.rstrip(), "a blank at the end of a line")
        _require(all(0x20 <= ord(char) < 0x7F for char in line), "a character beyond ASCII")
    return "".join(lines)


def text_of(field: str) -> str:
    """What a reader sees of an unstructured field: blanks between encoded words do not count."""
    _, _, body = unfolded(field).partition(": ")
    shown, after_encoded = "", False
    for blanks, word in re.findall(r"([ \t]*)([^ \t]+)", body):
        decoded = decoded_word(word)
        shown += ("" if after_encoded and decoded is not None else blanks) + (
            word if decoded is None else decoded
        )
        after_encoded = decoded is not None
    return shown


def mailboxes_of(field: str) -> list[Mailbox]:
    """The mailboxes of a field such as To; there are no groups and no comments in ours."""
    body = unfolded(field).partition(": ")[2]
    found, position = [], 0
    while True:
        mailbox, position = _mailbox(body, position)
        found.append(mailbox)
        if position == len(body):
            return found
        _require(body[position] == ",", f"{body[position]!r} after a mailbox")
        position += 1


def decoded_word(word: str) -> str | None:
    """The text of an encoded word; None for any other word."""
    match = ENCODED_WORD.fullmatch(word)
    if not match:
        _require("=?" not in word, "half an encoded word")
        return None
    _require(len(word) <= 75, "an encoded word of more than 75 characters")
    charset, encoding, text = match.groups()
    if encoding in "bB":
        return base64.b64decode(text, validate=True).decode(charset)
    _require(
        bool(re.fullmatch(r"(=[0-9A-F]{2}|[A-Za-z0-9!*+/_-])+", text)), "Q beyond what a phrase may hold"
    )
    octets = re.sub(r"=(..)", lambda found: chr(int(found[1], 16)), text.replace("_", " "))
    return octets.encode("latin-1").decode(charset)


def _mailbox(body: str, position: int) -> tuple[Mailbox, int]:
    name, after_encoded, words = "", False, 0
    while True:
        blanks, position = _blanks(body, position)
        char = body[position]
        if char == "<":
            end = body.index(">", position)
            _require(bool(blanks) or not words, "a name that touches its address")
            return Mailbox(name, _address(body[position + 1 : end])), _blanks(body, end + 1)[1]
        if char == '"':
            word, position = _quoted(body, position)
            decoded = None
        else:
            word, position = _atom(body, position)
            decoded = decoded_word(word)
        if not words and (position == len(body) or body[position] in "@."):
            return _bare(body, position, word)
        joined = after_encoded and decoded is not None
        name += (blanks if words and not joined else "") + (word if decoded is None else decoded)
        after_encoded, words = decoded is not None, words + 1


def _bare(body: str, position: int, word: str) -> tuple[Mailbox, int]:
    end = position
    while end < len(body) and body[end] not in ", ":
        end += 1
    return Mailbox("", _address(word + body[position:end])), _blanks(body, end)[1]


def _address(spec: str) -> str:
    local, at, domain = spec.rpartition("@")
    _require(bool(at), "an address without @")
    if local.startswith('"'):
        unquoted, end = _quoted(local, 0)
        _require(end == len(local), "text after a quoted local part")
        return f"{unquoted}@{_dot_atom(domain)}"
    return f"{_dot_atom(local)}@{_dot_atom(domain)}"


def _dot_atom(text: str) -> str:
    _require(all(part and set(part) <= ATEXT for part in text.split(".")), "an address that is no dot-atom")
    return text


def _atom(body: str, position: int) -> tuple[str, int]:
    end = position
    while end < len(body) and body[end] in ATEXT:
        end += 1
    _require(end > position, f"{body[position]!r} outside of quotation marks")
    return body[position:end], end


def _quoted(body: str, position: int) -> tuple[str, int]:
    text, position = "", position + 1
    while body[position] != '"':
        if body[position] == "\\":
            position += 1
        text += body[position]
        position += 1
    _require("=?" not in text, "an encoded word in quotation marks")
    return text, position + 1


def _blanks(body: str, position: int) -> tuple[str, int]:
    end = position
    while end < len(body) and body[end] in " \t":
        end += 1
    return body[position:end], end


def _require(holds: bool, broken: str) -> None:
    if not holds:
        raise BrokenError(broken)
