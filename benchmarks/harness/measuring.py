"""Measure one clip: the cell that every benchmark is made of."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness.cells import Key, OnProgress, Outcome
from benchmarks.harness.folder import RunFolder
from spf.cache import Cache
from spf.embedders import Embedder, label
from spf.figures import plot_measurement, subtitle
from spf.identity import canonical
from spf.measurement import DEFAULT_SETTINGS, Measurement, measure_clip
from spf.progress import Curve, Settings
from spf.progress.metrics import unit_time
from spf.video import Sampling

ELSEWHERE = ("embedder", "weights", "revision", "device", "resized_by", "versions", "code")
"""Parts of an embedder's identity that have columns of their own, or are the machine's."""

Frames = Iterator[tuple[np.ndarray, float]]
OnFrame = Callable[[np.ndarray, float], None]


@dataclass(frozen=True)
class Measuring:
    """How clips are measured: the same for every cell of a run.

    cache : of the embeddings of files; it determines no result. device : for further embedders that
    a benchmark makes. nuisance : what a second curve leaves out (`spf.measure`).
    """

    embedder: Embedder
    settings: Settings = DEFAULT_SETTINGS
    sampling: Sampling = field(default_factory=Sampling)
    batch_size: int | None = None
    cache: Cache | None = None
    device: str = "auto"
    nuisance: str = "none"

    def key(self, benchmark: str, clip: str, model: str, seed: int = 0) -> Key:
        """The key of a cell that measures a clip."""
        embedder = self.embedder
        return Key(benchmark, clip, embedder.name, model, seed=seed, control=embedder.control)

    def inputs(self) -> dict[str, Any]:
        """Everything about the measuring that determines a result."""
        batch_size = self.batch_size or self.embedder.batch_size
        return {"embedder": self.embedder.identity(), "batch_size": batch_size, **self._settings}

    @property
    def _settings(self) -> dict[str, Any]:
        """Settings of the curve; the nuisance where there is one: older rows know of none."""
        nuisance = {} if self.nuisance == "none" else {"nuisance": self.nuisance}
        return {"fit": asdict(self.settings), "sampling": asdict(self.sampling), **nuisance}

    def provenance(self) -> dict[str, str]:
        """Columns that say by what a clip was measured; rows that differ here are not compared.

        settings : JSON of the embedder's settings, how the curve is fitted, and which frames are
        used. What depends on the machine is left out, so that machines can be merged.
        """
        embedder = self.embedder.identity()
        own = {name: value for name, value in embedder.items() if name not in ELSEWHERE}
        return {
            "weights_revision": embedder.get("revision", "none: no weights"),
            "weights_hash": embedder.get("weights", "none: no weights"),
            "settings": canonical({"embedder": own, **self._settings}).decode(),
        }

    def measure(
        self, source: Path | Frames, on_progress: OnProgress, on_frame: OnFrame | None = None
    ) -> Measurement:
        """Measure a clip; `on_progress` is called once for each decoded frame, `on_frame` with the
        frame and its time. Raises `SpfError` where the clip cannot be measured."""

        def both(image: np.ndarray, seconds: float) -> None:
            on_progress()
            if on_frame is not None:
                on_frame(image, seconds)

        return measure_clip(
            source,
            self.embedder,
            self.settings,
            self.sampling,
            self.batch_size,
            on_frame=both,
            cache=self.cache if on_frame is None else None,  # frames are needed, so decoded
            guarded=True,
            nuisance=self.nuisance,
        )

    def outcome(self, measured: Measurement, stem: str, title: str | None = None) -> Outcome:
        """Scores, curve and plot of a measured clip. stem : path of its files in the run's folder,
        without suffix. title : of the plot; None draws none."""
        curve, second = measured.curve, measured.corrected
        values = measured.row | self.provenance()
        outcome = Outcome(values, values.pop("reason"), timings=dict(measured.seconds))
        outcome.timings["from_cache"] = float(measured.cached)
        more = {} if second is None else {"progress_corrected": second.curve.progress}
        outcome.add("curve", f"curves/{stem}.csv", curve_table(curve, **more))
        if title is not None:
            started = perf_counter()
            below = subtitle(curve, label(self.embedder))
            outcome.add("plot", f"plots/{stem}.png", plot_measurement(measured, title, below))
            outcome.timings["draw"] = perf_counter() - started
        return outcome


def curve_table(curve: Curve, **more: np.ndarray) -> bytes:
    """CSV of a curve: frame, time, u, progress, angle, fitted, and more columns (T,); 9 digits."""
    columns = {
        "frame": np.arange(len(curve)),
        "time": curve.times,
        "u": unit_time(curve.times),
        "progress": curve.progress,
        "angle": curve.angle,
        "fitted": curve.fitted,
    }
    table = pd.DataFrame(columns | more)
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()


def read_curve(folder: RunFolder, record: Mapping[str, Any]) -> pd.DataFrame:
    """The curve that a record points to, as `curve_table` wrote it."""
    return pd.read_csv(io.BytesIO(folder.read(record["curve"])))
