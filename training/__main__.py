"""`make train CSV=tickets.csv`: learn shared/triage/triage.model anew, print how good it is, and put it in place if it is no worse."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits

from shared.triage.classifier import FILE, unpack
from training.learning import learn
from training.measuring import Figures, by_keywords, figures, figures_of, held_out, judged
from training.rows import Row, RowsError, digest_of, read_rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make train", description=__doc__)
    parser.add_argument("csv", type=Path, help="columns text and category")
    parser.add_argument(
        "--intents", type=Path, help="CSV with the columns intent and category: what its categories are here"
    )
    parser.add_argument("--force", action="store_true", help="replace the model also if it is better")
    parser.add_argument("--out", type=Path, default=FILE, help="where the model goes")
    chosen = parser.parse_args(arguments)
    # On small matrices threads wait for each other, and the sums depend on their number.
    with threadpool_limits(limits=1):
        return train(chosen)


def train(chosen: argparse.Namespace) -> int:
    try:
        rows = read_rows(chosen.csv, chosen.intents)
    except RowsError as error:
        print(error, file=sys.stderr)
        return 2
    measured = figures_of(rows, held_out(rows)) | {"data": digest_of(rows), "rows": len(rows)}
    print(table(rows, measured), flush=True)
    standing = standing_f1(chosen.out, rows, measured["data"])
    if standing is not None and measured["macro_f1"] < standing and not chosen.force:
        print(
            f"Kept {chosen.out}: its macro-F1 on these rows is {standing}, better than {measured['macro_f1']}. "
            "--force replaces it.",
            file=sys.stderr,
        )
        return 1
    written = with_figures(learn(rows), measured)
    chosen.out.write_bytes(written)
    print(f"Wrote {chosen.out}, {len(written):,} bytes")
    return 0


def standing_f1(path: Path, rows: Sequence[Row], data: str) -> float | None:
    """Of the model in place: from its own folds if it was learned from these rows, or else measured on them.

    A model that was learned from some of the rows looks better than it is, so that in doubt it is kept.
    """
    if not path.exists():
        return None
    standing = unpack(path.read_bytes())
    if standing.figures.get("data") == data:
        return float(standing.figures["macro_f1"])
    return float(figures_of(rows, judged(standing, rows))["macro_f1"])


def with_figures(file: bytes, measured: Figures) -> bytes:
    line, _, rest = file.partition(b"\n")
    header = json.loads(line)
    header["figures"] |= measured
    return json.dumps(header, sort_keys=True).encode() + b"\n" + rest


def table(rows: Sequence[Row], measured: Figures) -> str:
    plain = figures(rows, [by_keywords(row.text) for row in rows])
    lines = [
        "| Category | rows | precision | recall | F1 | a person is called | F1 of plain keywords | recall of plain keywords |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (precision, recall, f1, count) in measured["categories"].items():
        _, plain_recall, plain_f1, _ = plain["categories"][name]
        called = measured["escalated"][name]
        lines.append(
            f"| {name} | {count:,} | {precision:.3f} | {recall:.3f} | {f1:.3f} | {called:.3f} | {plain_f1:.3f} | {plain_recall:.3f} |"
        )
    lines.append(
        f"\nMacro-F1 {measured['macro_f1']:.4f} (plain keywords {plain['macro_f1']:.4f}), calibration error {measured['ece']:.4f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
