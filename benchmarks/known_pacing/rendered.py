"""The cell of a rendered clip: measured, and compared with its true pacing."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.cells import Cell, OnProgress, Outcome
from benchmarks.harness.folder import slug
from benchmarks.harness.measuring import Measuring, curve_table
from benchmarks.known_pacing import errors as truth
from benchmarks.known_pacing import perceptual
from benchmarks.known_pacing.studies import (
    COLOURS,
    INVARIANT_TO,
    NUISANCES,
    Studies,
    clip_name,
    faults,
    reference_name,
)
from spf.errors import UnavailableError
from spf.identity import installed
from spf.progress import fit, no_change_reason
from spf.progress.distances import banded_angles
from spf.progress.metrics import mean_absolute
from spf.thumbnails import Thumbnails
from synthetic.clips import Still, SyntheticClip, Zoomed
from synthetic.drawing import Image8
from synthetic.motion import Motion

Array = NDArray[np.float64]

PIXELS = 64
"""Side in pixels at which frames are compared directly."""

STRIP, GAP = 6, 4
"""Frames of a clip in the figure of invariance, and the pixels between them."""


def rendered_cell(
    benchmark: str,
    measuring: Measuring,
    studies: Studies,
    clip: SyntheticClip,
    asked: list[str],
    under: str = "",
) -> Cell:
    """The cell of one of the studies' clips; `asked` are the studies that it serves, `under`
    begins the names of its files."""
    name = clip_name(clip)
    if "invariance" in asked:
        measuring = replace(measuring, nuisance=INVARIANT_TO)
    key = measuring.key(benchmark, name, "rendered", clip.seed)
    inputs = {
        "clip": clip.identity(),
        "studies": asked,
        "reference": reference_name(clip, studies.num_frames, studies.fps),
        **measuring.inputs(),
    }
    # LPIPS is costly, and only the comparison of measures asks for it.
    weights = perceptual.identity() if "ladder" in asked else None
    if weights is not None:
        inputs["lpips"] = {"weights": weights, "versions": installed("torch", "torchvision")}

    def compute(on_progress: OnProgress) -> Outcome:
        small: list[Image8] = []
        seen: list[Image8] = []

        def add(image: Image8, _: float) -> None:
            pixels = cv2.resize(image, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA)
            small.append(np.asarray(pixels, np.uint8))
            if weights is not None:
                seen.append(perceptual.reduced(image))

        frames = zip(clip.frames(), clip.times, strict=True)
        measured = measuring.measure(frames, on_progress, add)
        stem = under + slug(name)
        outcome = measuring.outcome(measured, stem)
        curve, vectors = measured.curve, measured.embeddings.vectors
        corrected = fit(vectors, clip.times, **vars(measuring.settings) | {"noise": "nugget"})
        more = {"truth": clip.truth(), "corrected": corrected.progress}
        outcome.values |= _about(clip, studies, asked)
        if "invariance" in asked and measured.corrected is not None:
            second = measured.corrected.curve
            more |= {"progress_corrected": second.progress, "angle_corrected": second.angle}
            raw = truth.raw_errors(second.progress, clip.truth(), clip.shares)["raw_error"]
            outcome.values |= {
                "raw_error_corrected": raw,
                "jump_error_corrected": truth.jump_error(second, clip.law),
                "total_change_corrected": second.total_change,
                "changes_corrected": second.changes,
                "mostly_motion": measured.corrected.mostly_motion,
                "explained": measured.corrected.explained,
            }
        if outcome.values.get("figure_label"):
            outcome.add("strip", f"strips/{stem}.png", _strip(measured.thumbnails))
        outcome.files[f"curves/{stem}.csv"] = curve_table(curve, **more)
        outcome.values |= truth.raw_errors(curve.progress, clip.truth(), clip.shares)
        outcome.values |= consecutive_measures(vectors, clip.shares)
        pixel_steps = np.abs(np.diff(np.stack(small).astype(np.int16), axis=0)).mean((1, 2, 3))
        outcome.values |= {
            "pixel_mae": running_sum_mae(pixel_steps, clip.shares),
            "corrected_reason": no_change_reason(corrected) or "",
            "jump_error": truth.jump_error(curve, clip.law),
        }
        try:
            if weights is not None:
                outcome.values["pdv_lpips"] = float(np.var(perceptual.perceptual_steps(seen)))
        except UnavailableError as error:
            outcome.values["lpips_reason"] = str(error)
        return outcome

    return Cell(key, inputs, compute)


def _about(clip: SyntheticClip, studies: Studies, asked: list[str]) -> dict[str, Any]:
    """Columns that say what the clip is."""
    about: dict[str, Any] = {}
    if "faults" in asked:
        about["fault"], about["fault_strength"] = faults()[clip.law, clip.motion]
    if "colour" in asked:
        (about["colours"],) = [key for key, names in COLOURS.items() if clip.content.name in names]
        (about["nuisance"],) = [key for key, one in NUISANCES.items() if clip.motion == one]
    if "invariance" in asked:
        about["zoomed"] = isinstance(clip.content, Zoomed)
        about["figure_label"] = studies.figure_labels().get(clip, "")
    laws, moving = dict(clip.law.parameters), clip.motion or Motion(("none",), 0.0)
    return about | {
        "content": clip.content.name,
        "still": isinstance(clip.content, Still),
        "law": clip.law.name,
        "law_parameters": ", ".join(f"{key}={value:g}" for key, value in laws.items()),
        "steepness": laws.get("steepness"),
        "motion": clip.motion.name if clip.motion else "none",
        "motion_kind": "+".join(moving.kinds),
        "schedule": moving.schedule,
        "strength": moving.strength,
        "exposure": clip.exposure,
        "timing": clip.timing,
        "studies": ";".join(asked),
        "reference": reference_name(clip, studies.num_frames, studies.fps),
        "held_out": clip.held_out,
        "source": "rendered",
    }


def _strip(thumbnails: Thumbnails) -> bytes:
    """PNG of frames from the first to the last, side by side."""
    gap = ((0, 0), (0, GAP), (0, 0))
    places = np.linspace(0, thumbnails.seen - 1, STRIP)
    frames = [thumbnails.nearest(round(place))[1] for place in places]
    shown = np.hstack([np.pad(frame, gap, constant_values=255) for frame in frames])[:, :-GAP]
    return cv2.imencode(".png", shown[..., ::-1])[1].tobytes()


def consecutive_measures(vectors: NDArray[np.floating], u: Array) -> dict[str, float]:
    """`pdv`, the variance of consecutive angles (radians squared), and `consecutive_mae`.

    vectors : (T, D) embeddings. u : (T,) time from 0 to 1.
    """
    steps = banded_angles(vectors, 1)[:-1, 0]
    return {"pdv": float(np.var(steps)), "consecutive_mae": running_sum_mae(steps, u)}


def running_sum_mae(steps: Array, u: Array) -> float:
    """Time average of |C - u| for the running sum C of steps (T - 1,), scaled to 0 .. 1.

    NaN where all steps are 0.
    """
    if not steps.any():
        return float("nan")
    running = np.concatenate(([0.0], np.cumsum(steps)))
    return mean_absolute(running / running[-1] - u, u)
