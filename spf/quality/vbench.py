"""VBench's dimensions of a clip, by its own package: custom input, and image-to-video."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any

from spf.child import HUNG, Child, Ended
from spf.devices import choose_device
from spf.errors import ClipError, ConfigError, SpfError, one_line
from spf.identity import code_hash, digest, installed
from spf.names import choose
from spf.numbers import number
from spf.quality import UNKNOWN, Conditions, Score
from spf.quality.weights import (
    CAMERA,
    DEFAULT_DIMENSIONS,
    FIRST_FRAME,
    HUB_WEIGHTS,
    VBENCH_DIMENSIONS,
    missing_requirements,
)
from spf.video import content_hash

if TYPE_CHECKING:
    from spf.cache import Cache

PACKAGES = (
    "vbench", "torch", "torchvision", "numpy", "pillow", "opencv-python-headless", "decord",
    "openai-clip", "pyiqa", "dreamsim",
)  # fmt: skip
"""Distributions whose version can move a score."""

_MOTIONS = ("pans left", "pans right", "tilts up", "tilts down", "zooms in", "zooms out", "static")
MOTIONS = tuple(f"camera {motion}" for motion in _MOTIONS)
"""How prompts name a motion of the camera that camera_motion knows."""

TIME_LIMIT = 1800.0
LOG = "stderr.txt"


class VBench:
    """VBench on a clip's file, a dimension at a time.

    dimensions : names of `VBENCH_DIMENSIONS`. time_limit : seconds for one of them on one clip.
    device : auto, cpu, cuda, cuda:N.

    Raises ConfigError for other names and limits. Without the package no dimension is run; nor is
    one whose weights are absent, or are not those they should be.
    """

    name = "vbench"

    def __init__(
        self,
        dimensions: Sequence[str] = DEFAULT_DIMENSIONS,
        time_limit: float = TIME_LIMIT,
        device: str = "auto",
    ) -> None:
        if isinstance(dimensions, str) or not dimensions:
            raise ConfigError(f"quality.dimensions={dimensions!r} must be a list of at least one")
        wanted = [choose(str(name), VBENCH_DIMENSIONS, "VBench dimension") for name in dimensions]
        self.dimensions = tuple(dict.fromkeys(wanted))
        self.time_limit = float(number("quality.time_limit", time_limit, above=0))
        self.device = choose_device(device)

    def measure(
        self, clip: Path, cache: Cache | None = None, conditions: Conditions = UNKNOWN
    ) -> dict[str, Score]:
        """As `Quality.measure`. Values are VBench's: 0..1, higher is better but for dynamic_degree,
        which is 1 for a clip that moves. Raises ClipError for a file that cannot be read."""
        if clip.suffix.lower() != ".mp4":
            what = "a folder of images" if clip.is_dir() else f"a {clip.suffix or 'nameless'} file"
            reason = f"not run: VBench reads MP4 files, this is {what}; convert it"
            return dict.fromkeys(self.dimensions, Score(None, reason))
        content, scores = _content(clip), {}
        for dimension in self.dimensions:
            if why := _inapplicable(dimension, conditions) or self._missing[dimension]:
                scores[dimension] = Score(None, f"not run: {why}")
            else:
                scores[dimension] = self._score(dimension, clip, content, cache, conditions)
        return scores

    def identity(self) -> dict[str, Any]:
        """With the weights that are here, or what is wrong with them."""
        return {
            "quality": self.name,
            "dimensions": {name: self._determined_by(name) for name in self.dimensions},
        }

    def close(self) -> None:
        """End the child process; the next clip starts another one."""
        self._process.close()

    @cached_property
    def _missing(self) -> dict[str, str]:
        return {dimension: missing_requirements(dimension) for dimension in self.dimensions}

    @cached_property
    def _process(self) -> VBenchProcess:
        runnable = [name for name in self.dimensions if not self._missing[name]]
        files = [file for name in runnable for file in VBENCH_DIMENSIONS[name]]
        return VBenchProcess({file.name: file.path for file in files}, self.device)

    def _determined_by(self, dimension: str) -> dict[str, Any]:
        """Everything that determines the scores of a dimension, beside the clip."""
        here = not self._missing[dimension]
        weights = {file.name: file.hash() for file in VBENCH_DIMENSIONS[dimension] if here}
        return {
            "dimension": dimension,
            "weights": weights,
            "missing": self._missing[dimension],
            "device": self.device.partition(":")[0],
            "packages": installed(*PACKAGES),
            "code": code_hash(type(self)),
        }

    def _score(
        self, dimension: str, clip: Path, content: str, cache: Cache | None, conditions: Conditions
    ) -> Score:
        """The score from the cache, else computed and stored there."""
        from PIL import Image

        about = _about(dimension, conditions)
        fields = self._determined_by(dimension) | {"content": content, **about}
        key = f"{dimension}-{digest(fields)}"
        with suppress(OSError, TypeError):  # a damaged one is computed again
            if cache is not None and (entry := cache.scores.get(key)) is not None:
                return Score(*entry.about)
        with TemporaryDirectory(prefix="spf-vbench-") as folder:
            if dimension in FIRST_FRAME and conditions.first is not None:
                about = {"image": f"{folder}/first.png"}
                Image.fromarray(conditions.first).save(about["image"])
            reply = self._process.ask(dimension, clip, self.time_limit, about)
        score = Score(reply.get("value"), reply.get("refused", ""))
        if cache is not None and _content(clip) == content:  # it may have changed meanwhile
            with suppress(OSError):  # the score is here; it is computed again next time
                cache.scores.put(key, [score.value, score.reason], {})
        return score


class VBenchProcess:
    """VBench in a child process, started when it is first asked; many clips pay for that once.

    files : weights by the names that VBench knows; it sees these and no others. device : cpu or
    cuda:N.
    """

    def __init__(self, files: Mapping[str, Path], device: str) -> None:
        self._files = dict(files)
        self._device = device
        self._child: Child | None = None
        self._folder = Path()

    def ask(
        self, dimension: str, clip: Path, seconds: float, about: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The child's reply: {"value": x}, or {"refused": why} where the clip is not taken.

        about : what is looked at beside the clip: `image`, a path, or `camera`, a motion. Raises
        SpfError where it takes longer, dies or breaks down; the next request starts another one.
        """
        child = self._child or self._start()
        try:
            child.ask({"dimension": dimension, "clip": str(clip.absolute()), **(about or {})})
            reply = child.line(seconds)
            if "broke" not in reply:
                return reply
            why = str(reply["broke"])
        except Ended as end:
            if str(end) == HUNG:
                why = f"it took longer than {seconds:g} s; raise quality.time_limit"
            else:
                why = f"it {end}" if str(end) else f"the process died ({self._last_line()})"
        except BaseException:  # Ctrl-C: nothing must go on behind our back
            self.close()
            raise
        self.close()
        raise SpfError(f"{clip.name}: VBench's {dimension} broke down: {why}")

    def close(self) -> None:
        """End the child, with all that it may have started."""
        if self._child is None:
            return
        child, self._child = self._child, None
        child.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> Child:
        folder = self._folder = Path(mkdtemp(prefix="spf-vbench-"))
        for name, file in self._files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".py":  # run from here, so that no stale bytecode beside it is run
                shutil.copyfile(file, folder / name)
            else:
                (folder / name).symlink_to(file)
        checkpoints = folder / "hub" / "checkpoints"
        checkpoints.mkdir(parents=True)
        for name in HUB_WEIGHTS:
            (checkpoints / Path(name).name).symlink_to(folder / name)
        environment = os.environ | {
            "VBENCH_CACHE_DIR": str(folder),
            "TORCH_HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": "1",  # as in the workers of a run; sums are rounded otherwise too
            "HF_HUB_OFFLINE": "1",
        }
        with open(folder / LOG, "wb") as log:
            self._child = Child(
                "spf.quality.child",  # by its name, so that its code is part of the identity
                str(folder),
                self._device,
                environment=environment,
                folder=folder,
                errors=log,
            )
        return self._child

    def _last_line(self) -> str:
        """What the child died of, and the last line that it wrote."""
        assert self._child is not None
        ended, printed = self._child.end(), ""
        with suppress(OSError):
            printed = (self._folder / LOG).read_text(errors="replace").strip().rpartition("\n")[2]
        return f"{ended}: {one_line(printed)}" if printed else ended


def motion_of(prompt: str) -> str:
    """The motion of the camera that a prompt names, as VBench does; "" where it names none."""
    text = " ".join(prompt.lower().split())
    return next((motion for motion in MOTIONS if motion in text), "")


def _inapplicable(dimension: str, conditions: Conditions) -> str:
    """Why a dimension does not apply to a clip that was generated so; "" where it does."""
    if dimension in FIRST_FRAME and conditions.first is None:
        return conditions.absent
    if dimension == CAMERA and not motion_of(conditions.prompt):
        return "the prompt names no motion of the camera"
    return ""


def _about(dimension: str, conditions: Conditions) -> dict[str, str]:
    """What a dimension looks at beside the clip, by its content."""
    if dimension in FIRST_FRAME:
        assert conditions.first is not None
        return {"image": digest([conditions.first.shape, conditions.first.tobytes().hex()])}
    return {"camera": motion_of(conditions.prompt)} if dimension == CAMERA else {}


def _content(clip: Path) -> str:
    found = content_hash(clip)
    if found is None:
        raise ClipError(clip.name, "it cannot be read", "check the file and its permissions")
    return found
