"""The page of a leaderboard: the clips of a pair play side by side, over the ranked list."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import read_curve
from benchmarks.harness.records import DONE, Record
from benchmarks.harness.report.page import disclaimers, environment
from benchmarks.leaderboard.cells import ACROSS, filmed_frames
from benchmarks.leaderboard.comparison import SHOWN, UNDIRECTED, Board, Group, sentences
from benchmarks.leaderboard.tables import BOARD_NOTE, intervals, leaderboard
from spf.embedders import label
from spf.progress import METRICS

PAGE = "leaderboard.html"
FILMS = 12
"""That a page shows at once, unless others are asked for: they are up to 700 kB each."""


def render_leaderboard(
    board: Board, records: Sequence[Record], quality: Sequence[str], folder: RunFolder
) -> str:
    """HTML of the page, which loads the films that it shows from the run's folder."""
    dimensions = [name for name in quality if name != UNDIRECTED]
    ordered = dict.fromkeys([board.order_by, *SHOWN])
    metrics = {name: METRICS[name] for name in ordered if METRICS[name].direction != "none"}
    named = board.clips[board.clips["pair"] != ""]
    known = named.get("category", pd.Series("", named.index)).fillna("")
    pairs = dict(sorted(zip(named["pair"], known, strict=True)))
    categories = sorted({record.get("category") or "" for record in records} - {""})
    generators = sorted(set(board.clips["generator"]))

    def boards(category: str) -> dict[str, Any]:
        own = [x for x in records if not category or x.get("category") == category]
        return {metric: _board(own, metric, dimensions, board) for metric in metrics}

    data = {
        "metrics": [
            {"name": name, "better": one.direction, "definition": one.definition}
            for name, one in metrics.items()
        ],
        "quality": dimensions,
        "categories": categories,
        "pairs": [{"name": name, "category": category} for name, category in pairs.items()],
        "generators": generators,
        "boards": {category: boards(category) for category in ["", *categories]},
        "clips": [
            _clip(own.iloc[0].to_dict(), len(own) > 1, list(metrics), folder)
            for _, own in named.groupby(["pair", "generator"])
        ],
        "across": ACROSS,
        "films": FILMS,
    }
    template = environment().get_template("leaderboard.html.j2")
    return template.render(
        title=f"Leaderboard: {len(generators)} generators, {len(pairs)} pairs",
        embedders=sorted({label(record["embedder"]) for record in records}),
        disclaimers=disclaimers(list(records)),
        note=BOARD_NOTE,
        data=_plain(data),
    )


def _board(
    records: Sequence[Record], metric: str, dimensions: Sequence[str], known: Board
) -> dict[str, Any]:
    """The leaderboard of records by a metric, as leaderboard.csv holds it where that is what
    orders the run: sentences, and a row for each generator of each group."""
    whole = metric == known.order_by and len(records) == len(known.clips)
    board = known if whole else Board.of(records, metric)
    places = ["group", "order", "rank", "generator", "tied_with", "best", "pairs", "note"]
    table = leaderboard(board)[[*places, metric, f"{metric}_low", f"{metric}_high"]]
    table.columns = [*places, "mean", "low", "high"]
    rows: list[dict[Any, Any]] = table.to_dict("records")
    for group in board.groups:
        values, quality = group.values(metric), _quality(group, dimensions)
        for row in (row for row in rows if row["group"] == group.number):
            row["values"] = values[row["generator"]].to_dict()
            row["quality"] = quality[row["generator"]]
    return {"sentences": sentences(board.groups, board.differences), "rows": rows}


def _quality(group: Group, dimensions: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """By generator and dimension: the mean and its interval; NaN where there is none, infinite
    where an end is open."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in group.generators}
    for dimension in filter(group.has, dimensions):
        values = group.values(dimension)
        limits = np.full((len(values.columns), 2), np.nan)
        if group.ranked:
            limits = intervals(values.to_numpy(), dimension)
        for name, mean, ends in zip(values.columns, values.mean(), limits, strict=True):
            found[name][dimension] = [mean, *ends]
    return found


def _clip(
    row: Mapping[Any, Any], several: bool, metrics: Sequence[str], folder: RunFolder
) -> dict[str, Any]:
    """A clip of a pair, the generator's first seed where there are `several`: its values, film and
    curve, or why there is none."""
    clip = {name: row[name] for name in ("pair", "generator", "exclusion")}
    clip["values"] = {name: row[name] for name in metrics}
    clip |= {"seed": int(row["seed"])} if several else {}
    run, film = (row.get(name) for name in ("input", "film"))
    if row["status"] != DONE:
        clip["missing"] = f"{row['status'].replace('_', ' ')}: {row['reason']}"
    elif isinstance(run, str) and run:
        clip["missing"] = f"measured in another run: {run}"
    elif isinstance(film, str) and film:
        clip |= _film(row, folder)
    else:
        clip["missing"] = "no film is here"
    return clip


def _film(row: Mapping[Any, Any], folder: RunFolder) -> dict[str, Any]:
    """Where a clip's film lies, and its curve at the film's frames and at the last one: progress in
    thousandths; times in thousandths of a second, or frames where no rate is known (the step alone
    where they are even)."""
    curve = read_curve(folder, row)
    frames = filmed_frames(len(curve))
    points = np.union1d(frames, len(curve) - 1)
    timed = bool(pd.notna(row.get("duration")))
    times = (curve["time"] - curve["time"].iloc[0]).to_numpy()[points] * (1000 if timed else 1)
    step = times[-1] / (len(times) - 1)
    even = np.abs(times - step * np.arange(len(times))).max() < 0.5
    progress = np.rint(curve["progress"].to_numpy()[points] * 1000).astype(int).tolist()
    film = {"film": row["film"], "frames": len(frames), "aspect": row["width"] / row["height"]}
    film |= {"timed": timed, "progress": progress}
    return film | ({"step": step} if even else {"times": np.rint(times).astype(int).tolist()})


def _plain(value: Any) -> Any:
    """Data as JSON holds it: numbers to 6 significant digits, as in tables; None for what is no
    number or has no bound, as JSON knows neither."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, str | bool | int):
        return value
    if pd.isna(value) or not math.isfinite(value):
        return None
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() else short
