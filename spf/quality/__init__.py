"""Clip -> quality: VBench's dimensions, by its own package, in a process of its own.

docs/how-to/score-quality.md says what each dimension needs, and how its scores are stored.
"""

from spf.quality.base import UNKNOWN, Conditions, NoQuality, Quality, Score
from spf.quality.weights import (
    DEFAULT_DIMENSIONS,
    VBENCH_DIMENSIONS,
    lacking,
    missing_files,
    missing_package,
    missing_weights,
    vbench_cache,
)

__all__ = [
    "DEFAULT_DIMENSIONS",
    "UNKNOWN",
    "VBENCH_DIMENSIONS",
    "Conditions",
    "NoQuality",
    "Quality",
    "Score",
    "lacking",
    "missing_files",
    "missing_package",
    "missing_weights",
    "vbench_cache",
]
