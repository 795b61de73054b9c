"""A clip's row: what was measured, or why it could not be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.cache import libraries
from spf.corpus.inputs import as_text
from spf.embedders import Embedder, load_embedder, shown_name
from spf.errors import ClipError, ConfigError, UnavailableError
from spf.identity import code_hash
from spf.measurement import DEFAULT_SETTINGS, Measurement, measure_clip
from spf.progress import METRICS, Settings, score, unranked_reason
from spf.video import Sampling, content_hash

if TYPE_CHECKING:
    import pyarrow as pa

DONE, FAILED = "done", "failed"
SCHEMA = 1
"""Raised when a column changes its meaning."""
CURVES = ("times", "progress", "angle")
"""Arrays (T,) float64 of a curve that are kept where they are asked for."""
SCORES = tuple(name for name in METRICS if name != "target_mae")
TIMINGS = ("embed_seconds", "fit_seconds", "worker")
Row = dict[str, Any]


@dataclass(frozen=True)
class Measuring:
    """How the clips of a corpus are measured: the same for all of them, on every machine.

    embedder : a name, or the object. weights : a folder of them, for a name. device : auto, cpu or
    cuda. batch_size : frames per batch; None takes the embedder's own. curves : whether rows hold
    the curves. Making the embedder raises as `load_embedder` does.
    """

    embedder: str | Embedder
    device: str = "auto"
    settings: Settings = DEFAULT_SETTINGS
    sampling: Sampling = field(default_factory=Sampling)
    batch_size: int | None = None
    curves: bool = False
    weights: str | None = None

    @cached_property
    def loaded(self) -> Embedder:
        path = {} if self.weights is None else {"path": self.weights}
        return load_embedder(self.embedder, self.device, **path)

    def identity(self) -> dict[str, Any]:
        """Everything about the measuring that determines a row."""
        return {
            "embedder": self.loaded.identity(),
            "batch_size": self.batch_size or self.loaded.batch_size,
            "fit": asdict(self.settings),
            "sampling": asdict(self.sampling),
            "curves": self.curves,
            "libraries": libraries(),
            "code": code_hash(__name__),
            "schema": SCHEMA,
        }

    def __getstate__(self) -> dict[str, Any]:
        """Without the embedder: each process loads its own."""
        return {name: value for name, value in vars(self).items() if name != "loaded"}

    def row(self, index: int, name: str, path: Path) -> Row:
        """Measure a clip. Raises UnavailableError where the embedder itself cannot run."""
        row = self.blank(index, name)
        try:
            before = _state(path)
            row["sha256"] = content_hash(path)
            measured = measure_clip(
                path,
                self.loaded,
                self.settings,
                self.sampling,
                self.batch_size,
                guarded=True,
                pictures=False,
            )
            if _state(path) != before:
                raise ClipError(path, "it changed while it was read", "measure it again")
        except ClipError as error:
            return row | failure(f"{error.reason}; {error.remedy}")
        except UnavailableError:
            raise
        except ConfigError as error:  # a stream that this clip does not have
            return row | failure(str(error).removeprefix(f"{path}: "))
        except Exception as error:  # of a library, on frames that it did not expect
            return row | failure(f"{type(error).__name__}: {error}"[:200])
        return row | self._values(measured)

    def blank(self, index: int, name: str) -> Row:
        """The columns that need no measuring."""
        known = self.loaded.identity()
        return {
            "index": index,
            "path": as_text(name),
            "embedder": shown_name(self.loaded),
            "weights_hash": known.get("weights", "none: no weights"),
        }

    def _values(self, measured: Measurement) -> Row:
        curve, embeddings = measured.curve, measured.embeddings
        info, scores = embeddings.info, score(curve)
        assert info is not None  # it was a file
        values = {
            "status": DONE,
            "reason": unranked_reason(curve) or "",
            "frames": len(curve),
            "fps": info.fps,
            "width": info.width,
            "height": info.height,
            "notes": "; ".join(embeddings.notes),
            "embed_seconds": measured.seconds["embed"],
            "fit_seconds": measured.seconds["fit"],
        }
        if embeddings.unit == "s":  # a folder of images has no rate
            values["duration"] = float(curve.times[-1] - curve.times[0])
        values |= {name: None if value != value else value for name, value in scores.items()}
        if self.curves:
            values |= {name: getattr(curve, name) for name in CURVES}
        return values


def failure(reason: str) -> Row:
    """The columns of a clip that failed; the reason becomes one line."""
    text = " ".join(reason.encode("utf-8", "backslashreplace").decode().split())
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return {"status": FAILED, "reason": plain}


def as_table(rows: Sequence[Row], curves: bool) -> pa.Table:
    """Rows as an Arrow table with the columns of `schema`; what a row lacks is null."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=schema(curves))


def schema(curves: bool) -> pa.Schema:
    """The columns of a shard in their order, and behind them those of its timings."""
    import pyarrow as pa

    floats = pa.float64()
    columns = [
        ("index", pa.int64()),
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("frames", pa.int32()),
        ("fps", floats),
        ("duration", floats),
        ("width", pa.int32()),
        ("height", pa.int32()),
        *((name, floats) for name in SCORES),
        ("notes", pa.string()),
        ("embedder", pa.string()),
        ("weights_hash", pa.string()),
        *((name, pa.list_(floats)) for name in CURVES if curves),
        ("embed_seconds", floats),
        ("fit_seconds", floats),
        ("worker", pa.string()),
    ]
    return pa.schema(columns)


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of change, by which a change during a reading shows."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None  # reading the clip will say what is wrong with it
    return state.st_size, state.st_mtime_ns
