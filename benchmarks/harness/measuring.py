"""Measure one clip: the cell that every benchmark is made of."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness.cells import Key, Outcome, Watch
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
See = Callable[[np.ndarray, float], None]


@dataclass(frozen=True)
class Measuring:
    """How clips are measured: the same for every cell of a run.

    cache : where the embeddings of files are kept; it determines no result. device : for further
    embedders that a benchmark makes; this one has its own. nuisance : what a second curve leaves
    out (`spf.measure`).
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
        return {
            "embedder": self.embedder.identity(),
            "batch_size": self.batch_size or self.embedder.batch_size,
            "fit": asdict(self.settings),
            "sampling": asdict(self.sampling),
            **self._second,
        }

    @property
    def _second(self) -> dict[str, str]:
        """The nuisance, where there is one: rows without any are what they were before it."""
        return {} if self.nuisance == "none" else {"nuisance": self.nuisance}

    def provenance(self) -> dict[str, str]:
        """Columns that say by what a clip was measured; rows that differ here are not compared.

        settings : JSON of the embedder's settings, how the curve is fitted, and which frames are
        used. What depends on the machine is left out, so that machines can be merged.
        """
        embedder = self.embedder.identity()
        own = {name: value for name, value in embedder.items() if name not in ELSEWHERE}
        parts = {
            "embedder": own,
            "fit": asdict(self.settings),
            "sampling": asdict(self.sampling),
            **self._second,
        }
        return {
            "weights_revision": embedder.get("revision", "none: no weights"),
            "weights_hash": embedder.get("weights", "none: no weights"),
            "settings": canonical(parts).decode(),
        }

    def measure(self, source: Path | Frames, watch: Watch, see: See | None = None) -> Measurement:
        """Measure a clip; `watch` is called once a frame that is decoded, `see` with each
        frame and its time.

        Raises `SpfError` where the clip cannot be measured.
        """

        def both(image: np.ndarray, seconds: float) -> None:
            watch()
            if see is not None:
                see(image, seconds)

        return measure_clip(
            source,
            self.embedder,
            self.settings,
            self.sampling,
            self.batch_size,
            on_progress=both,
            cache=self.cache if see is None else None,  # who wants frames needs them decoded
            guarded=True,
            nuisance=self.nuisance,
        )

    def outcome(self, measured: Measurement, stem: str, title: str | None = None) -> Outcome:
        """Scores, curve and plot of a measured clip.

        stem : path of its files in the run's folder, without suffix. title : of the plot; None
        draws none.
        """
        curve = measured.curve
        values = measured.row | self.provenance()
        outcome = Outcome(values, values.pop("reason"), timings=dict(measured.seconds))
        second = measured.corrected
        more = {} if second is None else {"progress_corrected": second.curve.progress}
        outcome.timings["from_cache"] = float(measured.cached)
        outcome.files[f"curves/{stem}.csv"] = curve_table(curve, **more)
        outcome.links["curve"] = f"curves/{stem}.csv"
        if title is not None:
            started = perf_counter()
            outcome.files[f"plots/{stem}.png"] = plot_measurement(
                measured, title, subtitle(curve, label(self.embedder))
            )
            outcome.links["plot"] = f"plots/{stem}.png"
            outcome.timings["draw"] = perf_counter() - started
        return outcome


def curve_table(curve: Curve, **more: np.ndarray) -> bytes:
    """CSV of a curve: frame, time, u, progress, angle, fitted, and more columns (T,); 9 digits."""
    table = pd.DataFrame(
        {
            "frame": np.arange(len(curve)),
            "time": curve.times,
            "u": unit_time(curve.times),
            "progress": curve.progress,
            "angle": curve.angle,
            "fitted": curve.fitted,
            **more,
        }
    )
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()


def read_curve(folder: RunFolder, record: Mapping[str, Any]) -> pd.DataFrame:
    """The curve that a record points to, as `curve_table` wrote it."""
    return pd.read_csv(io.BytesIO(folder.read(record["curve"])))
