"""Clips made in embedding space: what the solver and the noise floor do without any embedder."""

from bisect import bisect_left
from itertools import product

import numpy as np

from benchmarks.harness.cells import Table
from benchmarks.harness.records import printer
from benchmarks.known_pacing.errors import Row, table_of
from spf.progress import fit, fit_many
from spf.progress.metrics import mean_absolute
from spf.progress.noise import constant_response
from synthetic.laws import LAWS, law
from synthetic.sphere import TOTAL, great_circle

EVEN, U = law("linear"), np.linspace(0.0, 1.0, 81)

NOISE = (0.01, 0.03, 0.1)
"""Radians between two views of one point."""

LENGTHS = (1_000, 10_000, 100_000)
POWER_LENGTHS = (21, 81, 321, 1394)
POWER = 0.9
SEEDS = 20
DIMENSIONS = 64

STEP = 1.1
SMALLEST, STEPS = 0.005, 68
"""Total changes that are tried, radians: from 0.005 to 3, each a tenth more than the last."""


def solver_tables() -> list[Table]:
    """The laws, long clips, noise of known size, and the smallest change that is recognised."""
    return [_laws(), _long(), _noise(), _power()]


def solver_sentence(tables: list[Table]) -> str:
    """The sentence about these tables."""
    laws, long, _, power = tables
    of_law, of_length, of_power = printer(laws), printer(long), printer(power)
    worst = max(laws.rows, key=lambda row: row["increments"])
    smooth = max(laws.rows, key=lambda row: row["gradient"])
    even = max(long.rows, key=lambda row: row["linearity_mae"])
    middle = [row for row in power.rows if row["noise"] == NOISE[1]]
    found = "; ".join(
        f"{of_power(row, 'smallest_change') or 'none'} in {row['frames']} frames" for row in middle
    )
    taken = max(power.rows, key=lambda row: row["false_alarms"])
    return (
        f"Without any embedder, increments is at most {of_law(worst, 'increments')} from the truth "
        f"({worst['law']}); the default, gradient, at most {of_law(smooth, 'gradient')} "
        f"({smooth['law']}); an even clip is at most {of_length(even, 'linearity_mae')} from even "
        f"({even['frames']} frames). The smallest steady change, in radians, that is recognised "
        f"under noise of {of_power(middle[0], 'noise')} rad is {found}. At most "
        f"{taken['false_alarms']} of {taken['clips']} static clips of a row are taken for changing."
    )


def _laws() -> Table:
    rows: list[Row] = []
    for name in LAWS:
        row: Row = {"law": name}
        for how in ("increments", "gradient", "peer", "isotonic"):
            progress = fit(great_circle(law(name), 81), monotone=how).progress
            row[how] = mean_absolute(progress - law(name).g(U), U)
        rows.append(row)
    note = (
        "Time average of |S - g| for points on a great circle at known pacing, 81 frames, no noise "
        "and no embedder. increments is exact but for the ridge; gradient smooths a jump over "
        "its neighbours; peer leads by half a frame."
    )
    return table_of("sphere", "The solver alone", rows, note)


def _long() -> Table:
    rows: list[Row] = []
    for length in LENGTHS:
        curve = fit(great_circle(EVEN, length, dimensions=8))
        u = np.linspace(0.0, 1.0, length)
        rows.append({"frames": length, "linearity_mae": mean_absolute(curve.progress - u, u)})
    note = "linearity_mae of an evenly paced clip without noise. Above 5,000 frames without ridge."
    return table_of("sphere_long", "Long clips stay even", rows, note)


def _noise() -> Table:
    rows: list[Row] = []
    for noise in NOISE:
        static, moving = (
            fit(great_circle(EVEN, 81, total, noise, dimensions=512)) for total in (0.0, TOTAL)
        )
        row: Row = {"noise": noise, "predicted_static": noise * constant_response(81, 30, 20.0)}
        row |= {"static": static.total_change, "noise_floor": static.noise_floor}
        row |= {"static_changes": static.changes, "moving": moving.total_change}
        rows.append(row | {"moving_changes": moving.changes})
    note = (
        f"Total change, radians, of a static and of a moving clip ({TOTAL} rad) with noise of a "
        "known angle between frames. predicted: that angle times the fit's response to equal "
        "distances."
    )
    return table_of("sphere_noise", "Noise in embedding space", rows, note)


def _power() -> Table:
    rows: list[Row] = []
    for length, noise in product(POWER_LENGTHS, NOISE):
        total = smallest_change(length, noise)
        row = {"frames": length, "noise": noise, "smallest_change": total}
        row["in_noises"] = None if total is None else total / noise
        rows.append(row | {"false_alarms": recognised(length, 0.0, noise), "clips": SEEDS})
    note = (
        f"Evenly paced clips in {DIMENSIONS} dimensions under noise of a known angle between "
        f"frames. smallest_change: the total angle, radians, above which at least {POWER:.0%} of "
        f"{SEEDS} clips are distinguished from no semantic change; in_noises: as a multiple of the "
        "noise. false_alarms: static clips that are taken for changing. The fit compares frames up "
        "to 30 apart, so a slow change in many frames drowns; at fewer frames a second it shows."
    )
    return table_of("sphere_power", "How small a change shows", rows, note)


def smallest_change(length: int, noise: float) -> float | None:
    """The smallest total change tried, radians, that is recognised often enough; None: none is.

    By bisection, as a larger change is never harder to recognise.
    """
    totals = [SMALLEST * STEP**step for step in range(STEPS)]
    enough = POWER * SEEDS
    place = bisect_left(totals, enough, key=lambda total: recognised(length, total, noise))
    return totals[place] if place < STEPS else None


def recognised(length: int, total: float, noise: float) -> int:
    """How many of the clips (one for each seed) count as changing."""
    clips = [great_circle(EVEN, length, total, noise, DIMENSIONS, seed) for seed in range(SEEDS)]
    return sum(bool(curve.changes) for curve in fit_many(clips, device="cpu"))
