"""Clips that are there before anything is done with them: a user's folder, or rendered ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.harness.folder import RunFolder, slug
from spf.errors import ClipError, SpfError
from spf.generators.folder import FolderClip, clip_digest, clips_of
from spf.identity import digest
from spf.names import printable
from spf.video import probe, write_mp4
from synthetic.clips import Content, SyntheticClip, content
from synthetic.laws import Law, law
from synthetic.morph_pairs import HELD_OUT_PAIRS
from synthetic.oracle import RenderOracle

SMALL, LARGER = (32, 32), (64, 64)
"""(height, width) in pixels: of the shipped generator's clips, and more."""

FRAMES = 33
"""Of a rendered clip. The steepest of its laws makes steps of 0.15 of the whole then."""

MORPHS = (0, 2)
"""Of `HELD_OUT_PAIRS`."""

SCENES = ("shape-drop-gear", "arrangement-scatter-pyramid", "cat-motorcycle-patches")


@dataclass(frozen=True, eq=False)
class ExistingClip:
    """A clip of a folder (`found`), or one that is rendered, so that its pacing is known."""

    name: str
    category: str
    found: FolderClip | None = None
    rendered: SyntheticClip | None = None

    def identity(self) -> Any:
        """What determines its pixels; None where the file cannot be read."""
        if self.rendered is not None:
            return self.rendered.identity()
        assert self.found is not None
        return clip_digest(self.found)

    def path(self, folder: RunFolder) -> Path:
        """Where it lies; a rendered one is written into the run's folder where it is not there.

        Raises ClipError for a problem that finding it has shown.
        """
        if self.rendered is None:
            assert self.found is not None
            if self.found.problem is not None:
                raise self.found.problem
            return self.found.path
        path = folder.path(f"clips/{slug(self.name)}-{digest(self.identity())[:8]}.mp4")
        if not path.exists():
            write_mp4(path, self.rendered.frames(), self.rendered.fps)
        return path

    @property
    def source(self) -> str:
        """What tables call its file, wherever it lies."""
        if self.found is None:
            return "rendered"
        return f"{self.found.generator}/{printable(self.found.path.name)}".strip("/")

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """(height, width) in pixels; None where it cannot be read."""
        if self.rendered is not None:
            return self.rendered.size
        assert self.found is not None
        try:
            info = probe(self.found.path)
        except SpfError:
            return None  # computing the cell says what is wrong
        return info.height, info.width

    @cached_property
    def oracle(self) -> RenderOracle | None:
        """Reads the true parameter off frames of its size; None for clips of a folder."""
        clip = self.rendered
        if clip is None:
            return None
        return RenderOracle(clip.content.painter(clip.size, seed=clip.seed))

    def named(self, error: ClipError) -> ClipError:
        """The same error by the clip's place: rows must not depend on how a path was typed."""
        return ClipError(self.source, error.reason, error.remedy)


def load_clips(folder: str | None) -> list[ExistingClip]:
    """The clips of a folder; rendered ones, small and larger, for None. Errors as `clips_of`."""
    if folder is None:
        return [
            *_rendered("morphs 32x32", _morphs(), SMALL),
            *_rendered("scenes 64x64", [(content(name), 1000) for name in SCENES], LARGER),
        ]
    return [
        ExistingClip("/".join(filter(None, (clip.generator, clip.pair))), clip.generator, clip)
        for clip in clips_of(str(folder))
    ]


def _morphs() -> list[tuple[Content, int]]:
    return [HELD_OUT_PAIRS[index] for index in MORPHS]


def _pacings() -> tuple[Law, ...]:
    """For the clips of a category, in turn: abrupt, abrupt twice, and merely uneven."""
    return law("sigmoid_jump", steepness=19.0), law("two_jumps", steepness=32.0), law("ease_in")


def _rendered(
    category: str, contents: Sequence[tuple[Content, int]], size: tuple[int, int]
) -> list[ExistingClip]:
    made = []
    for (shown, seed), pacing in zip(contents, _pacings(), strict=False):
        clip = SyntheticClip(shown, pacing, num_frames=FRAMES, size=size, seed=seed)
        made.append(ExistingClip(f"{shown.name}-{pacing.name}", category, rendered=clip))
    return made
