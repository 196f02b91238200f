"""Learning the classifier from one's own tickets."""

from pathlib import Path

import pytest

from shared.triage.classifier import FILE, load_model, unpack
from training.__main__ import main
from training.measuring import guess_by_keywords

SPORTS = {
    "tennis": ("racket", "serve", "court", "ace"),
    "rowing": ("oar", "boat", "river", "crew"),
    "chess": ("rook", "pawn", "castle", "mate"),
}


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """Twelve easy rows of each of three categories."""
    lines = [
        f"my {word} is {state},{sport}"
        for sport, words in SPORTS.items()
        for word in words
        for state in ("old", "new", "lost")
    ]
    return write(tmp_path / "tickets.csv", lines)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("text,category\n" + "\n".join(lines) + "\n")
    return path


def train(csv: Path, *arguments: str) -> int:
    return main([str(csv), "--out", str(csv.with_name("a.model")), *arguments])


def test_a_team_learns_from_its_tickets(tickets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tickets) == 0
    learned = unpack(tickets.with_name("a.model").read_bytes())
    assert learned.categories == ("chess", "rowing", "tennis")
    assert learned.figures["rows"] == 36
    printed = capsys.readouterr().out
    assert "| tennis | 12 |" in printed
    assert "Macro-F1" in printed


def test_the_same_rows_in_any_order_make_the_same_file(tickets: Path, tmp_path: Path) -> None:
    train(tickets)
    first = tickets.with_name("a.model").read_bytes()
    write(tickets, tickets.read_text().splitlines()[:0:-1])
    train(tickets)
    assert tickets.with_name("a.model").read_bytes() == first


def test_what_plain_keywords_do_not_find_is_taken_for_a_question() -> None:
    assert guess_by_keywords("My ACCOUNT LOCKED itself") == "banking_issue"
    assert guess_by_keywords("Fraud: an error") == "security_concern"
    assert guess_by_keywords("Which currencies do you support?") == "feature_question"


def test_a_better_model_is_kept_unless_forced(tickets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tickets)
    model = tickets.with_name("a.model")
    good = model.read_bytes()
    # Half of the labels go astray, so what is learned from these is worse on the same rows.
    names = list(SPORTS)
    lines = [
        line if number % 2 else f"{line.split(',')[0]},{names[number // 2 % 3]}"
        for number, line in enumerate(tickets.read_text().splitlines()[1:])
    ]
    muddled = write(tickets.with_name("muddled.csv"), lines)
    assert train(muddled) == 1
    assert model.read_bytes() == good
    assert "--force" in capsys.readouterr().err
    assert train(muddled, "--force") == 0
    assert model.read_bytes() != good


def test_intents_are_renamed_by_a_second_file(tickets: Path, tmp_path: Path) -> None:
    intents = tmp_path / "intents.csv"
    intents.write_text("intent,category\ntennis,ball\nrowing,water\nchess,board\n")
    assert train(tickets, "--intents", str(intents)) == 0
    assert unpack(tickets.with_name("a.model").read_bytes()).categories == ("ball", "board", "water")
    intents.write_text("intent,category\ntennis,ball\n")
    assert train(tickets, "--intents", str(intents)) == 2


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("words,category\na,b\n", "text and category"),
        ("text,category\nhello,\n", "row 2"),
        ("text,category\n" + "a,one\n" * 12, "two categories"),
        ("text,category\n" + "a,one\n" * 12 + "b,two\n", "two"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, named: str
) -> None:
    csv = tmp_path / "bad.csv"
    csv.write_text(content)
    assert train(csv) == 2
    assert named in capsys.readouterr().err
    assert not csv.with_name("a.model").exists()


def test_the_shipped_model_is_small_right_and_calibrated() -> None:
    assert FILE.stat().st_size <= 300_000
    figures = load_model().figures
    _, recall, _, _ = figures["categories"]["security_concern"]
    assert figures["macro_f1"] >= 0.94
    assert recall >= 0.95
    assert figures["ece"] <= 0.02
