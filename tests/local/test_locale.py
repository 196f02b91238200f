"""Tests that text of the local database is as on a hosted project."""

import locale

import pytest

from deploy.migrate import Connection
from local.postgres import utf8_locale
from local.process import StackError


def test_the_database_knows_letters_beyond_ascii(db: Connection) -> None:
    query = "select pg_encoding_to_char(encoding), datctype from pg_database where datname = 'postgres'"
    assert db.execute(query).fetchone() == ("UTF8", utf8_locale())
    parsed = db.execute("select to_tsvector('simple', 'ОШИБКА “Été” ΤΙΜΉ')::text").fetchone()
    assert parsed == ("'été':2 'τιμή':3 'ошибка':1",)


def test_a_machine_without_a_utf8_locale_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(category: int, name: str | None = None) -> str:
        if name in (None, "C"):
            return "C"
        raise locale.Error("unsupported locale setting")

    monkeypatch.setattr(locale, "setlocale", missing)
    with pytest.raises(StackError, match=r"C\.UTF-8"):
        utf8_locale()
