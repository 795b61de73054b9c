"""What is written of a retimed clip beside itself: side by side, curves, time map and scores."""

import json
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from spf.embedders import Embedder, label
from spf.errors import SpfError
from spf.files import write_atomic
from spf.pacing.plan import OnProgress, RegenerationPlan
from spf.pacing.retime import STAGES, Retimed, counted
from spf.pacing.strategies import described
from spf.pacing.targets import Linear
from spf.pacing.timemap import source_times
from spf.progress.metrics import unit_time
from spf.video import Reader, write_mp4


def write_side_by_side(done: Retimed, out: Path, on_progress: OnProgress | None = None) -> None:
    """Write the clip and its result beside each other, with their curves, as an MP4."""
    from spf.figures import side_by_side

    before, after = done.plan.curve, done.curve
    rate = min(60.0, max((len(x) - 1) / (x.times[-1] - x.times[0]) for x in (before, after)))
    total = round(max(x.times[-1] - x.times[0] for x in (before, after)) * rate) + 1
    with Reader(done.source) as clip, Reader(done.out) as result:
        panels = [
            ((image for image, _ in reader), curve, f"{name}: {reader.info.path.name}")
            for name, reader, curve in (("before", clip, before), ("after", result, after))
        ]
        frames = side_by_side(panels, rate)
        write_mp4(out, counted(frames, on_progress, STAGES[3], total), rate)


def write_plot(done: Retimed, out: Path, embedder: Embedder) -> None:
    """Write both curves and the target as a PNG."""
    from spf.figures import plot_overlay

    u, both = np.linspace(0.0, 1.0, 257), {"before": done.plan.curve, "after": done.curve}
    curves = {name: (unit_time(x.times), x.progress) for name, x in both.items()}
    if not isinstance(done.plan.target, Linear):  # which is drawn as the reference
        curves[f"target {described(done.plan.target)}"] = (u, np.asarray(done.plan.target(u)))
    change = " -> ".join(f"{scores['target_mae']:.4f}" for scores in (done.before, done.after))
    plan = done.plan
    by = f" by {plan.generator.name}" if isinstance(plan, RegenerationPlan) else ""
    about = f"embedder {label(embedder)} · {plan.method}{by} · target_mae {change}"
    put(out, plot_overlay(curves, done.source.resolve().name, about))


def write_report(done: Retimed, out: Path, embedder: Embedder) -> None:
    """Write the time map, the scores and what they were made with as JSON; NaN is null."""
    plan = done.plan
    regeneration: dict[str, Any] = {}
    check = None
    clip = plan.curve.times
    if (second := done.check) is not None:
        check = {
            "embedder": label(second.embedder),
            "identity": second.embedder.identity(),
            "changes": second.changes,
            "disagreements": [asdict(one) for one in second.disagreements],
            "scores": {"before": _plain(second.before), "after": _plain(second.after)},
        }
    if isinstance(plan, RegenerationPlan):
        regeneration["regeneration"] = {
            "model": plan.generator.name,
            "identity": plan.generator.identity(),
            "settings": asdict(plan.settings),
            "cuts": list(plan.segments.cuts),
            "segments": [asdict(piece) for piece in plan.segments.pieces],
            "scores_unsteered": done.plain and _plain(done.plain),
        }
    about = {
        "source": done.source.name,
        "result": done.out.name,
        "method": plan.method,
        "target": described(plan.target),
        "embedder": label(embedder),
        "identity": embedder.identity(),
        "frames": {"before": len(clip), "after": plan.length.num_frames},
        "fps": {"before": (len(clip) - 1) / clip[-1], "after": plan.length.fps},
        "scores": {"before": _plain(done.before), "after": _plain(done.after)},
        "check": check,
        "cuts": {"source_frame": list(plan.cuts), "frame": list(plan.cuts_shown)},
        "notes": list(done.notes),
        **regeneration,
        "time_map": {
            "time": plan.length.times.tolist(),
            "source_frame": plan.positions.tolist(),
            "source_time": source_times(plan.positions, clip).tolist(),
        },
    }
    put(out, json.dumps(about, indent=1, allow_nan=False, default=str) + "\n")


def _plain(scores: dict[str, float]) -> dict[str, float | None]:
    return {name: None if isnan(value) else value for name, value in scores.items()}


def put(path: Path, data: bytes | str) -> None:
    """Write a small file whole. Raises SpfError where the disk refuses."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise SpfError(f"{path}: it cannot be written ({error.strerror}); free some room") from None
