"""Trains shared/triage/triage.model, prints its figures, and installs it unless it is worse.

Run it as `make train CSV=tickets.csv`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits

from shared.triage.classifier import FILE, unpack
from training.learning import learn
from training.measuring import Figures, cross_validate, decide_all, figures, guess_by_keywords, measure
from training.rows import Example, RowsError, digest_of, read_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a training; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make train", description=__doc__)
    parser.add_argument("csv", type=Path, help="columns text and category")
    parser.add_argument(
        "--intents", type=Path, help="CSV with the columns intent and category: what its categories are here"
    )
    parser.add_argument("--force", action="store_true", help="replace the model also if it is better")
    parser.add_argument("--out", type=Path, default=FILE, help="where the model goes")
    options = parser.parse_args(arguments)
    # On small matrices threads wait for each other, and the sums depend on their number.
    with threadpool_limits(limits=1):
        return train(options)


def train(options: argparse.Namespace) -> int:
    """Trains and measures a model; returns 0, 1 if the current model is better, or 2 for invalid rows."""
    try:
        rows = read_rows(options.csv, options.intents)
    except RowsError as error:
        print(error, file=sys.stderr)
        return 2
    measured = measure(rows, cross_validate(rows)) | {"data": digest_of(rows), "rows": len(rows)}
    print(table(rows, measured), flush=True)
    current = current_f1(options.out, rows, measured["data"])
    if current is not None and measured["macro_f1"] < current and not options.force:
        print(
            f"Kept {options.out}: its macro-F1 on these rows is {current}, better than"
            f" {measured['macro_f1']}. "
            "--force replaces it.",
            file=sys.stderr,
        )
        return 1
    model = add_figures(learn(rows), measured)
    options.out.write_bytes(model)
    print(f"Wrote {options.out}, {len(model):,} bytes")
    return 0


def current_f1(path: Path, rows: Sequence[Example], data: str) -> float | None:
    """Returns the macro-F1 of the current model: its own figure if trained on these rows, else measured.

    A model that was trained on some of the rows looks too good. In doubt it is kept.
    """
    if not path.exists():
        return None
    model = unpack(path.read_bytes())
    if model.figures.get("data") == data:
        return float(model.figures["macro_f1"])
    return float(measure(rows, decide_all(model, rows))["macro_f1"])


def add_figures(file: bytes, measured: Figures) -> bytes:
    """Writes figures into the header of a model's file."""
    line, _, rest = file.partition(b"\n")
    header = json.loads(line)
    header["figures"] |= measured
    return json.dumps(header, sort_keys=True).encode() + b"\n" + rest


def table(rows: Sequence[Example], measured: Figures) -> str:
    """Formats the figures beside those of plain keyword matching."""
    plain = figures(rows, [guess_by_keywords(row.text) for row in rows])
    lines = [
        "| Category | rows | precision | recall | F1 | a person is called"
        " | F1 of plain keywords | recall of plain keywords |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (precision, recall, f1, count) in measured["categories"].items():
        _, plain_recall, plain_f1, _ = plain["categories"][name]
        escalated = measured["escalated"][name]
        lines.append(
            f"| {name} | {count:,} | {precision:.3f} | {recall:.3f} | {f1:.3f} | {escalated:.3f}"
            f" | {plain_f1:.3f} | {plain_recall:.3f} |"
        )
    lines.append(
        f"\nMacro-F1 {measured['macro_f1']:.4f} (plain keywords {plain['macro_f1']:.4f}),"
        f" calibration error {measured['ece']:.4f}\nTriage names a category for {measured['named']:.1%},"
        f" {measured['named_precision']:.1%} of them as labelled"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
