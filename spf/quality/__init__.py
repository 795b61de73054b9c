"""Clip -> quality: VBench's dimensions, by its own package, in a process of its own.

docs/how-to/score-quality.md says what each dimension needs, and how its scores are stored.
"""

from spf.quality.base import NoQuality, Quality, Score
from spf.quality.weights import (
    VBENCH_DIMENSIONS,
    lacking,
    missing_package,
    missing_weights,
    vbench_cache,
)

__all__ = [
    "VBENCH_DIMENSIONS",
    "NoQuality",
    "Quality",
    "Score",
    "lacking",
    "missing_package",
    "missing_weights",
    "vbench_cache",
]
