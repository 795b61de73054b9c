"""What a table of retiming strategies says, in sentences."""

from collections.abc import Sequence

from benchmarks.retiming.strategies import AUTHORS, CONTROL, RESAMPLED, STEERED, kind_of
from benchmarks.truth.errors import Row


def sentences(rows: Sequence[Row], measure: str, aim: str) -> list[str]:
    """What the rows of one measure say: the best warp, `AUTHORS`, resampling, the control."""
    own = [row for row in rows if row["measure"] == measure and row["difference"] is not None]
    said = []
    steered = [row for row in own if kind_of(row["strategy"]) == STEERED]
    best = min(steered, key=lambda row: row["difference"], default=None)
    if best is not None:
        said.append(f"By {measure}, {_success(best)}: {_numbers(best, aim)}.")
    for row in steered:
        if row is not best and row["strategy"] == AUTHORS:
            said.append(f"By {measure}, {row['strategy']} (authors_code): {_numbers(row, aim)}.")
    resampled = [row for row in own if kind_of(row["strategy"]) == RESAMPLED]
    nearest = min(resampled, key=lambda row: row["difference"], default=None)
    if nearest is not None:
        said.append(
            f"By {measure}, without generating again, {nearest['strategy']} of the baseline's "
            f"frames: {_numbers(nearest, aim)}."
        )
    for row in own:
        if kind_of(row["strategy"]) == CONTROL:
            said.append(
                f"Control by {measure}: with another pair's map {aim} is "
                f"{row[aim]:.3f} against {row[f'before_{aim}']:.3f} before, {_verdict(row)}."
            )
    return said


def _success(row: Row) -> str:
    if row["difference"] >= 0:
        return f"no warp lowers it; nearest is {row['strategy']}"
    doubt = "" if _sign(row) < 0 else ", though not beyond doubt"
    return f"{row['strategy']} lowers it most{doubt}"


def _verdict(row: Row) -> str:
    """What the interval of the control's difference allows to say."""
    if not row["difference_95"]:
        return "too few pairs to tell"
    sign = _sign(row)
    if sign == 0:
        return "no clear difference"
    return "worse, so the map matters" if sign > 0 else "better: the map does NOT matter"


def _sign(row: Row) -> int:
    """-1 or 1 where the whole interval of the difference lies below or above 0, else 0."""
    if not row["difference_95"]:
        return 0
    low, high = map(float, row["difference_95"].split(" .. "))
    return (low > 0) - (high < 0)


def _numbers(row: Row, aim: str) -> str:
    """Pacing before and after, and what it hides: frames that go back and forth make an even
    curve, as do frames that stand still and cross-fades between them."""
    said = [
        f"median {aim} {row[f'before_{aim}']:.3f} before, {row[aim]:.3f} after, "
        f"{row['better']} pairs better"
    ]
    for name, words in (
        (f"true_{aim}", "by the renderer's parameter"),
        ("repeated_frames", "repeated frames"),
        ("residual", "distance to true renders"),
    ):
        before, after = row.get(f"before_{name}"), row.get(name)
        if before is not None and after is not None:
            said.append(f"{words} {before:.3g} before, {after:.3g} after")
    return "; ".join(said)
