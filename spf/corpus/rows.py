"""A clip's row: what was measured, or why it could not be."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.cache import libraries
from spf.corpus.inputs import as_text
from spf.embedders import Embedder, load_embedder, shown_name
from spf.embedders.base import GPU_FAILED
from spf.errors import SpfError, one_line
from spf.identity import code_hash
from spf.measurement import CORRECTED, DEFAULT_SETTINGS, measure_clip
from spf.names import printable
from spf.progress import METRICS
from spf.video import Sampling, content_hash

if TYPE_CHECKING:
    import pyarrow as pa

DONE, FAILED = "done", "failed"
SCHEMA = 2
"""Raised when a column changes its meaning."""
CURVES = ("times", "progress", "angle")
"""Arrays (T,) float64 of a curve, stored where they are asked for."""
SCORES = tuple(name for name in METRICS if name != "target_mae")
COLUMNS = {
    "index": "int64",
    **dict.fromkeys(("path", "sha256", "status", "reason"), "string"),
    "frames": "int32",
    **dict.fromkeys(("fps", "duration"), "float64"),
    **dict.fromkeys(("width", "height"), "int32"),
    **dict.fromkeys(SCORES, "float64"),
    **dict.fromkeys(("notes", "embedder", "weights_hash"), "string"),
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Measurer:
    """How the clips of a corpus are measured: the same for all of them, on every machine.

    batch_size : None takes the embedder's own. curves : whether rows hold the curves. nuisance : of
    a second curve, whose columns rows then have.
    """

    embedder: str | Embedder
    device: str = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    batch_size: int | None = None
    curves: bool = False
    weights: str | None = None
    nuisance: str = "none"

    @cached_property
    def loaded(self) -> Embedder:
        """The embedder, loaded once in each process."""
        path = {} if self.weights is None else {"path": self.weights}
        return load_embedder(self.embedder, self.device, **path)

    def __getstate__(self) -> dict[str, Any]:
        """Without the embedder: each process loads its own."""
        return {name: value for name, value in vars(self).items() if name != "loaded"}

    def identity(self) -> dict[str, Any]:
        return {
            "embedder": self.loaded.identity(),
            "batch_size": self.batch_size or self.loaded.batch_size,
            "fit": asdict(DEFAULT_SETTINGS),
            "sampling": asdict(self.sampling),
            "curves": self.curves,
            "nuisance": self.nuisance,
            "libraries": libraries(),
            "code": code_hash(__name__),
            "schema": SCHEMA,
        }

    def row(self, index: int, name: str, path: Path) -> Row:
        """Measure a clip; where that fails, the row says why. Where the GPU failed, the process
        ends: a GPU recovers in a new one alone, which Ray starts."""
        row = self.failed(index, name, "") | {"sha256": content_hash(path)}
        measure = partial(measure_clip, guarded=True, thumbnails=False, nuisance=self.nuisance)
        try:
            measured = measure(path, self.loaded, DEFAULT_SETTINGS, self.sampling, self.batch_size)
        except SpfError as error:
            reason = str(error).removeprefix(f"{path}: ")
            if reason.startswith(GPU_FAILED):
                os._exit(1)
            return row | {"reason": printable(reason)}
        except Exception as error:  # of a library, on frames that it did not expect
            what = one_line(f"{type(error).__name__}: {error}")
            return row | {"reason": printable(what)}
        values = {k: None if v != v else v for k, v in measured.row.items()}  # NaN: not defined
        curves = {name: getattr(measured.curve, name) for name in CURVES if self.curves}
        return row | values | curves | {"status": DONE}

    def failed(self, index: int, name: str, reason: str) -> Row:
        """The row of a clip that was not measured."""
        return {
            "index": index,
            "path": as_text(name),
            "status": FAILED,
            "reason": reason,
            "embedder": shown_name(self.loaded),
            "weights_hash": self.loaded.identity().get("weights", "none: no weights"),
        }

    def table(self, rows: Iterable[Row]) -> pa.Table:
        """Rows with the columns of a shard; what a row lacks is null."""
        import pyarrow as pa

        types = [(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()]
        if self.nuisance != "none":
            types += [(name, pa.float64()) for name in CORRECTED]
        types += [(name, pa.list_(pa.float64())) for name in CURVES if self.curves]
        return pa.Table.from_pylist(list(rows), schema=pa.schema(types))
