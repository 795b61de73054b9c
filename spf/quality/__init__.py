"""Clip -> quality: VBench's dimensions, by its own package, in a process of its own.

docs/how-to/score-quality.md says what each dimension needs, and how its scores are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spf.quality.weights import DEFAULT_DIMENSIONS as DEFAULT_DIMENSIONS
from spf.quality.weights import VBENCH_DIMENSIONS as VBENCH_DIMENSIONS
from spf.quality.weights import missing_package as missing_package
from spf.quality.weights import missing_weights as missing_weights

if TYPE_CHECKING:
    from spf.cache import Cache


@dataclass(frozen=True)
class Score:
    """One dimension of one clip: its value, or None and the reason in one line."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Conditions:
    """What a clip was generated from, as far as that is known.

    first, last : (H, W, 3) uint8 RGB, at the size of the clip's frames, as its generator got them;
    None where there is none. prompt : text; "" where there is none. absent : why there is no first
    frame, in one line.
    """

    first: NDArray[np.uint8] | None = None
    last: NDArray[np.uint8] | None = None
    prompt: str = ""
    absent: str = "the frame that the clip was generated from is not known here"


UNKNOWN = Conditions()


class Quality(Protocol):
    """Clip -> scores of its `dimensions`. `name` chooses it."""

    name: str
    dimensions: tuple[str, ...]

    def measure(
        self, clip: Path, cache: Cache | None = None, conditions: Conditions = UNKNOWN
    ) -> dict[str, Score]:
        """The scores of a clip's file, in the order of `dimensions`; those that are known of its
        bytes, and of what it was generated from, are taken from the cache.

        A dimension that is not run, or does not take this clip, has its reason in its score. Raises
        SpfError where measuring broke down (out of time or memory) and may succeed another time.
        """

    def identity(self) -> dict[str, Any]:
        """Everything that determines the scores, beside the clip's bytes."""


class NoQuality:
    """No scores."""

    name = "none"
    dimensions: tuple[str, ...] = ()

    def measure(
        self, clip: Path, cache: Cache | None = None, conditions: Conditions = UNKNOWN
    ) -> dict[str, Score]:
        return {}

    def identity(self) -> dict[str, Any]:
        return {}
