"""Measure the pacing of videos with the Semantic Progress Function.

    curve = spf.measure("clip.mp4")
    spf.score(curve)
    spf.retime("clip.mp4", out="even.mp4")

What is named here is the stable interface; everything loads at its first use, so that importing
`spf` takes a moment only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "spf.embedders": ("EMBEDDERS",),
    "spf.errors": ("ClipError", "ConfigError", "SpfError", "UnavailableError"),
    "spf.measurement": ("embed", "measure"),
    "spf.progress": (
        "METRICS", "Curve", "Metric", "Segment", "fit", "fit_many", "no_change_reason", "score",
        "segment",
    ),
    "spf.progress.stretches": ("Stretch", "stretches"),
    "spf.pacing.retime": ("Retimed", "retime"),
    "spf.pacing.timemap": ("time_map",),
    "spf.video": ("Sampling",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF, "__version__"]

if TYPE_CHECKING:
    from spf.embedders import EMBEDDERS as EMBEDDERS
    from spf.errors import ClipError as ClipError
    from spf.errors import ConfigError as ConfigError
    from spf.errors import SpfError as SpfError
    from spf.errors import UnavailableError as UnavailableError
    from spf.measurement import embed as embed
    from spf.measurement import measure as measure
    from spf.pacing.retime import Retimed as Retimed
    from spf.pacing.retime import retime as retime
    from spf.pacing.timemap import time_map as time_map
    from spf.progress import METRICS as METRICS
    from spf.progress import Curve as Curve
    from spf.progress import Metric as Metric
    from spf.progress import Segment as Segment
    from spf.progress import fit as fit
    from spf.progress import fit_many as fit_many
    from spf.progress import no_change_reason as no_change_reason
    from spf.progress import score as score
    from spf.progress import segment as segment
    from spf.progress.stretches import Stretch as Stretch
    from spf.progress.stretches import stretches as stretches
    from spf.video import Sampling as Sampling


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'spf' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
