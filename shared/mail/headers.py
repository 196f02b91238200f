"""Header fields of mail, encoded and folded by RFC 5322 and RFC 2047 at any length.

Python's own writer splits long names at their commas and loses blanks between encoded words.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from email.headerregistry import Address
from email.policy import EmailPolicy
from itertools import accumulate, takewhile
from typing import Any

# RFC 2047, section 2: the lengths of an encoded word, and of a line that has one. Other lines may have two more.
MAX_WORD = 75
MAX_LINE = 76
# Where a line has less room, the next encoded word begins another.
MIN_WORD = 32
# Of a word of ASCII that goes as it is: with `Reply-To: ` and quotation marks it still fits into a line.
MAX_PLAIN_WORD = 60

ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
# The same beyond ASCII, for addresses by RFC 6532.
DOT_ATOM = re.compile(rf"(?:{ATEXT}|[^\x00-\x9f])+(?:\.(?:{ATEXT}|[^\x00-\x9f])+)*")
PHRASE = re.compile(rf"{ATEXT}+(?: {ATEXT}+)*")
# RFC 2047, section 5: what an encoded word may hold inside a name, and so anywhere.
UNENCODED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
PLAIN_ATOM = re.compile(rf"(?!.*=\?){ATEXT}{{1,{MAX_PLAIN_WORD}}}")
PLAIN_WORD = re.compile(rf"(?!.*=\?)[!-~]{{1,{MAX_PLAIN_WORD}}}")


class Field(str):
    """A field's body as it is sent, folds and all."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, name: str, body: str) -> "Field":
        field = super().__new__(cls, body)
        field.name = name
        return field


class HeaderPolicy(EmailPolicy):
    """Sends a Field as it is; Python's own writer keeps the headers of MIME, which are ASCII and short."""

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        return (name, value) if isinstance(value, Field) else super().header_store_parse(name, value)

    def fold(self, name: str, value: Any) -> str:
        return f"{name}: {value}{self.linesep}" if isinstance(value, Field) else super().fold(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        if isinstance(value, Field):
            return self.fold(name, value).encode("utf-8", "surrogateescape")
        return super().fold_binary(name, value)


POLICY = HeaderPolicy(linesep="\r\n")


def text_field(name: str, text: str) -> Field:
    """Writes an unstructured field such as Subject; `text` is one line."""
    lines = _Lines(name)
    lines.add_text(text, PLAIN_WORD)
    return lines.field()


def address_field(name: str, address: Address) -> Field:
    """Writes a field of one recipient or sender, whose name stays one name whatever is in it."""
    lines, display_name, spec = _Lines(name), address.display_name, addr_spec(address)
    quoted = _quoted(display_name).split(" ")
    if not display_name:
        lines.add([spec])
    elif not PHRASE.fullmatch(display_name) and all(map(PLAIN_WORD.fullmatch, quoted)):
        lines.add([*quoted, f"<{spec}>"])
    else:
        lines.add_text(display_name, PLAIN_ATOM)
        lines.add([f"<{spec}>"])
    return lines.field()


def token_field(name: str, value: str) -> Field:
    """Writes ids, keywords and URLs in brackets: ASCII that is folded at its blanks and never encoded."""
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"{name} must be printable ASCII")
    lines = _Lines(name)
    lines.add(value.split(" "))
    return lines.field()


def addr_spec(address: Address) -> str:
    """Quotes a local part with dots at its ends or side by side, as some providers once gave out."""
    local = address.username
    return f"{local if DOT_ATOM.fullmatch(local) else _quoted(local)}@{address.domain}"


class _Lines:
    """The lines of one field. Words are a blank apart, and a word that does not fit begins a line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines = [f"{name}:"]

    def add(self, words: Iterable[str]) -> None:
        for word in words:
            # The first stays beside the name, whatever its length: to some readers an empty line ends the header.
            self._begin_line_unless_room(len(word))
            self._lines[-1] += f" {word}"

    def add_text(self, text: str, plain_word: re.Pattern[str]) -> None:
        """Adds plain words for as long as there are any, and the rest encoded."""
        words = text.split(" ")
        plain = list(takewhile(plain_word.fullmatch, words))
        if plain and words[len(plain) :] and not words[len(plain)]:
            # An empty word is a second blank. Both blanks are encoded, with the word before them.
            plain.pop()
        self.add(plain)
        self.encode(" ".join(words[len(plain) :]))

    def encode(self, text: str) -> None:
        """Adds encoded words. Readers drop the blanks between them, so every blank of the text is inside one."""
        encoding = _shorter_encoding(text)
        while text:
            self._begin_line_unless_room(MIN_WORD)
            encoded, text = encoding(text, min(self._room(), MAX_WORD))
            self._lines[-1] += f" {encoded}"

    def field(self) -> Field:
        return Field(self._name, "\r\n".join(self._lines)[len(self._name) + 1 :].removeprefix(" "))

    def _begin_line_unless_room(self, needed: int) -> None:
        if needed > self._room() and not self._is_at_name():
            self._lines.append("")

    def _room(self) -> int:
        return MAX_LINE - len(self._lines[-1]) - len(" ")

    def _is_at_name(self) -> bool:
        return self._lines == [f"{self._name}:"]


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _shorter_encoding(text: str) -> Callable[[str, int], tuple[str, str]]:
    octets = _octets(text)
    return _q_word if len(_q(octets)) <= len(b64encode(octets)) else _b_word


def _q_word(text: str, room: int) -> tuple[str, str]:
    """Returns an encoded word of at most `room` characters, and the rest of the text."""
    first, rest = _split(text, room - len("=?utf-8?q??="), lambda char: len(_q(_octets(char))))
    return f"=?utf-8?q?{_q(_octets(first))}?=", rest


def _b_word(text: str, room: int) -> tuple[str, str]:
    """Does the same in Base64, which makes four characters of three octets."""
    first, rest = _split(text, (room - len("=?utf-8?b??=")) // 4 * 3, lambda char: len(_octets(char)))
    return f"=?utf-8?b?{b64encode(_octets(first)).decode()}?=", rest


def _split(text: str, room: int, width: Callable[[str], int]) -> tuple[str, str]:
    """Splits between characters, never inside one: each encoded word is decoded by itself."""
    widths = accumulate(map(width, text))
    length = sum(1 for _ in takewhile(lambda total: total <= room, widths))
    return text[:length], text[length:]


def _q(octets: bytes) -> str:
    return "".join(chr(o) if o in UNENCODED else "_" if o == 0x20 else f"={o:02X}" for o in octets)
