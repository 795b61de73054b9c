"""VBench's custom-input dimensions of a clip, by its own package."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.devices import choose_device
from spf.errors import ClipError, ConfigError
from spf.identity import canonical, code_hash, installed
from spf.quality.base import Score
from spf.quality.process import VBenchProcess
from spf.quality.weights import VBENCH_DIMENSIONS, lacking
from spf.video import content_hash
from spf.words import choose

if TYPE_CHECKING:
    from spf.cache import Cache

PACKAGES = (
    "vbench",
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "decord",
    "openai-clip",
    "pyiqa",
)
"""Distributions whose version can move a score."""

DIMENSIONS = tuple(VBENCH_DIMENSIONS)
TIME_LIMIT = 1800.0


class VBench:
    """VBench on a clip's file, a dimension at a time.

    dimensions : words of `VBENCH_DIMENSIONS`. time_limit : seconds for one of them on one clip.
    device : auto, cpu, cuda, cuda:N.

    Raises ConfigError for other words and limits. Without the package no dimension is run; nor is
    one whose weights are absent, or are not those they should be.
    """

    name = "vbench"

    def __init__(
        self,
        dimensions: Sequence[str] = DIMENSIONS,
        time_limit: float = TIME_LIMIT,
        device: str = "auto",
    ) -> None:
        if isinstance(dimensions, str) or not dimensions:
            raise ConfigError(f"quality.dimensions={dimensions!r} must be a list of at least one")
        wanted = [choose(str(word), VBENCH_DIMENSIONS, "VBench dimension") for word in dimensions]
        number = isinstance(time_limit, int | float) and not isinstance(time_limit, bool)
        if not (number and 0 < time_limit < float("inf")):
            raise ConfigError(f"quality.time_limit={time_limit!r} must be seconds above 0")
        self.dimensions = tuple(dict.fromkeys(wanted))
        self.time_limit = float(time_limit)
        self.device = choose_device(device)

    def measure(self, clip: Path, cache: Cache | None = None) -> dict[str, Score]:
        """The scores of a clip's file, in the order of `dimensions`; those that are known of its
        bytes are taken from the cache.

        Values are VBench's: 0..1, higher is better but for dynamic_degree, which is 1 for a clip
        that moves. Raises ClipError for a file that cannot be read, SpfError where VBench breaks
        down (out of time or memory).
        """
        if clip.suffix.lower() != ".mp4":
            what = "a folder of images" if clip.is_dir() else f"a {clip.suffix or 'nameless'} file"
            reason = f"not run: VBench reads MP4 files, this is {what}; convert it"
            return dict.fromkeys(self.dimensions, Score(None, reason))
        content = _content(clip)
        return {
            dimension: Score(None, f"not run: {self._lacking[dimension]}")
            if self._lacking[dimension]
            else self._kept(dimension, clip, content, cache)
            for dimension in self.dimensions
        }

    def identity(self) -> dict[str, Any]:
        """With the weights that are here, or what is wrong with them."""
        return {
            "quality": self.name,
            "dimensions": {dimension: self._conditions(dimension) for dimension in self.dimensions},
        }

    def close(self) -> None:
        """End the child process; the next clip starts another one."""
        self._process.close()

    @cached_property
    def _lacking(self) -> dict[str, str]:
        return {dimension: lacking(dimension) for dimension in self.dimensions}

    @cached_property
    def _process(self) -> VBenchProcess:
        runnable = [name for name in self.dimensions if not self._lacking[name]]
        files = [file for name in runnable for file in VBENCH_DIMENSIONS[name]]
        return VBenchProcess({file.name: file.path for file in files}, self.device)

    def _conditions(self, dimension: str) -> dict[str, Any]:
        """Everything that determines the scores of a dimension, beside the clip."""
        here = not self._lacking[dimension]
        weights = {file.name: file.hash() for file in VBENCH_DIMENSIONS[dimension] if here}
        return {
            "dimension": dimension,
            "weights": weights,
            "lacking": self._lacking[dimension],
            "device": self.device.partition(":")[0],
            "packages": installed(*PACKAGES),
            "code": code_hash(type(self)),
        }

    def _kept(self, dimension: str, clip: Path, content: str, cache: Cache | None) -> Score:
        """The score from the cache, else computed and kept there."""
        conditions = self._conditions(dimension) | {"content": content}
        key = f"{dimension}-{hashlib.sha256(canonical(conditions)).hexdigest()}"
        if cache is not None and (found := _read(cache, key)) is not None:
            return found
        reply = self._process.ask(dimension, clip, self.time_limit)
        score = Score(reply.get("value"), reply.get("refused", ""))
        if cache is not None and _content(clip) == content:  # it may have changed meanwhile
            with suppress(OSError):  # the score is here; it is computed again next time
                cache.scores.put(key, [score.value, score.reason], {})
        return score


def _read(cache: Cache, key: str) -> Score | None:
    """A score that is kept; None where there is none, or it is damaged."""
    try:
        entry = cache.scores.get(key)
        return None if entry is None else Score(*entry.about)
    except (OSError, TypeError):
        return None


def _content(clip: Path) -> str:
    found = content_hash(clip)
    if found is None:
        raise ClipError(clip.name, "it cannot be read", "check the file and its permissions")
    return found
