"""Tests `make bench`: figures are never rounded in our favour, and docs/performance.md has its table."""

from pathlib import Path

import pytest

from bench.figures import Bar, Line, Result, load, save
from bench.table import BEGIN, END, PAGE, format_figure, markdown, put_between_markers


@pytest.mark.parametrize(
    ("value", "unit", "better", "text"),
    [
        (0.6999, "x", "more", "0.699 x"),
        (1.6001, "x", "less", "1.61 x"),
        (1.6, "x", "less", "1.60 x"),
        (12_345.6, "/s", "more", "12,345/s"),
        (19.96, "ms", "less", "20.0 ms"),
        (-3.21, "%", "less", "-3.21%"),
    ],
)
def test_a_figure_is_rounded_against_us(value: float, unit: str, better: str, text: str) -> None:
    assert format_figure(value, unit, better) == text


def test_a_bar_that_only_rounding_would_meet_is_missed() -> None:
    table = markdown([Result("requests", "A request", (Line("create", 0.69999, "x", Bar("at least", 0.7)),))])
    assert "| create | 0.699 x | ≥ 0.7 x | **no** |" in table


def test_a_part_that_found_nothing_says_why() -> None:
    assert "skipped: no function yet" in markdown(
        [Result("analysis", "Triage", missing="skipped: no function yet")]
    )


def test_the_table_replaces_what_stands_between_the_markers_and_nothing_else() -> None:
    text = f"before\n{BEGIN}\nan older table\n{END}\nafter\n"
    once = put_between_markers(text, "| new |\n")
    assert once == f"before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n"
    assert put_between_markers(once, "| new |\n") == once
    with pytest.raises(ValueError, match="there is no"):
        put_between_markers("no markers", "| new |\n")


def test_the_page_of_figures_has_the_markers() -> None:
    text = PAGE.read_text()
    assert "| new |" in put_between_markers(text, "| new |\n")


def test_figures_that_were_kept_are_read_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.figures.FOLDER", tmp_path)
    line = Line("create", 0.9, "x", Bar("at least", 0.7), "9/s : 10/s", (0.8, 0.9, 1.0))
    found = Result("requests", "A request", (line, Line("list", 5, "ms")), machine="2 cores")
    save(found)
    assert load(["requests", "peer"]) == [found]
