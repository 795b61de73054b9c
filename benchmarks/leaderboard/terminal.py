"""The leaderboard for programs, leaderboard.json, and the same as a table in the terminal."""

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmarks.harness.quality import reasons
from benchmarks.harness.records import Record
from benchmarks.harness.statistics import MINIMAL_RANKED_PAIRS
from benchmarks.leaderboard.tables import STATES, Board
from spf.commands.output import print_table

SCHEMA = "spf.compare/2"
FILE = "leaderboard.json"
WHOLE = ("group", "order", "rank", "pairs")


def document(board: Board, table: pd.DataFrame, messages: Sequence[str]) -> dict[str, Any]:
    """What `spf compare --json` prints (docs/reference/commands.md): the rows of the table
    `leaderboard`, with names for its ties, and beside them the messages about them."""
    ties: dict[Any, dict[str, list[str]]] = {}
    for group in board.groups:
        for name, place in group.places.items():
            others, signs = group.places.drop(name), board.differences.signs.loc[str(name)]
            equal = [other for other in others.index if others[other] == place]
            tied = [other for other in others.index if signs[other] == 0 and group.ranked]
            ties[group.number, name] = {"tied_with": tied, "equal_to": equal}
    used = board.clips[board.clips["exclusion"] == ""]
    noise = used.groupby("generator")["noise_share"].mean()
    rows = []
    for line in table.to_dict("records"):
        row: dict[str, Any] = {str(name): value for name, value in line.items()}
        row |= {name: None if pd.isna(row[name]) else int(row[name]) for name in WHOLE}
        row |= ties.get((row["group"], row["generator"]), {"tied_with": [], "equal_to": []})
        row["note"] = row["note"] if isinstance(row["note"], str) else ""
        rows.append(row | {"noise_share": noise.get(row["generator"])})
    return {"schema": SCHEMA, "order_by": board.order_by, "messages": messages, "rows": rows}


def print_board(found: Mapping[str, Any]) -> None:
    """Print the rows of `document`: rank, generator, metric and interval, ties, noise, notes."""
    metric, rows = found["order_by"], found["rows"]
    left_out = {"group"} if len({row["group"] for row in rows} - {None}) < 2 else set()
    left_out |= set() if any(map(_notes, rows)) else {"notes"}
    shown = []
    for row in rows:
        low, high = (row.get(f"{metric}_{side}") for side in ("low", "high"))
        order = "-" if row["order"] is None else f"({row['order']})"
        cells = {
            "group": str(row["group"] or "-"),
            "rank": order if row["rank"] is None else str(row["rank"]),
            "generator": row["generator"],
            metric: row[metric],
            "95% interval": "-" if low is None or high is None else f"{low:.4f} to {high:.4f}",
            "ties": _ties(row),
            "pairs": str(row["pairs"] or "-"),
            "noise": row["noise_share"],
            "notes": _notes(row),
        }
        shown.append({name: cell for name, cell in cells.items() if name not in left_out})
    numeric = dict.fromkeys(("group", "rank", "95% interval", "pairs"), "")
    print_table(shown, numeric | {metric: ".4f", "noise": ".0%"}, stderr=True)
    if any(row["rank"] is None and row["order"] is not None for row in rows):
        least = f"fewer than {MINIMAL_RANKED_PAIRS} common pairs"
        print(f"(N): an order without rank or interval, from {least}", file=sys.stderr)


def missing_dimensions(records: Sequence[Record]) -> list[str]:
    """A line for each reason why dimensions of VBench have no value, and for how many clips."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for dimension, reason in reasons(record).items():
            found[reason][dimension] += 1
    return [
        f"VBench without {', '.join(counts)} on {max(counts.values())} of {len(records)} clips: "
        f"{reason}"
        for reason, counts in found.items()
    ]


def _ties(row: Mapping[str, Any]) -> str:
    """Whose mean is equal, and how many others do not differ significantly."""
    equal = row["equal_to"]
    tied = len(set(row["tied_with"]) - set(equal))
    named = f"equal to {', '.join(equal) if len(equal) < 3 else f'{len(equal)} others'}"
    return ", ".join([named] * bool(equal) + [f"{tied} tied"] * bool(tied))


def _notes(row: Mapping[str, Any]) -> str:
    """Which of its clips are not compared, and whether it is compared with none."""
    states = [f"{row[name]} {state}" for name, state in STATES.items() if row[name]]
    return ", ".join(["not compared"] * (row["order"] is None) + states)
