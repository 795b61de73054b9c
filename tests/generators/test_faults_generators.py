"""A generator may raise or give nonsense: its rows say so, nothing of it is kept, and it passes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import generators
import harness
import numpy as np
import pytest

from spf.errors import SpfError
from spf.generators.base import GeneratedClip, Request
from spf.generators.cached import CachedGenerator
from spf.generators.tiny.adapter import TinyGenerator

Generate = Callable[[GeneratedClip], GeneratedClip]


def raises(error: Exception) -> Generate:
    def raised(_: GeneratedClip) -> GeneratedClip:
        raise error

    return raised


def other_frames(change: Callable[[np.ndarray], Any]) -> Generate:
    return lambda clip: replace(clip, frames=change(clip.frames))


GENERATORS: dict[str, tuple[Generate, str]] = {
    "raises": (raises(RuntimeError("mat1 and mat2")), "unexpected RuntimeError: mat1 and mat2"),
    "refuses": (raises(SpfError("tiny: it rained; wait")), "tiny: it rained; wait"),
    "gives NaN": (other_frames(lambda x: x * np.nan), "and type float64, not"),
    "gives nothing": (other_frames(lambda _: None), "frames of shape () and type None"),
    "gives no frame": (other_frames(lambda x: x[:0]), "frames of shape (0, "),
    "gives grey": (other_frames(lambda x: x[..., 0]), "not (T, H, W, 3) uint8"),
    "gives too few": (other_frames(lambda x: x[:-1]), "gave 8 frames instead of 9"),
    "gives too many": (other_frames(lambda x: x.repeat(2, 0)), "gave 18 frames instead of 9"),
}


@pytest.mark.parametrize("what", GENERATORS)
def test_nonsense_of_a_generator_is_not_kept(
    what: str, tiny_weights: Path, tmp_path: Path, one_thread: None
) -> None:
    spoil, reason = GENERATORS[what]

    class Struck(TinyGenerator):
        def generate(self, *given: Any) -> GeneratedClip:
            return spoil(super().generate(*given))

    picture = np.full((32, 32, 3), 90, np.uint8)
    request = Request(picture, 255 - picture, num_frames=9)
    struck = CachedGenerator(Struck(str(tiny_weights)), tmp_path)
    with pytest.raises((SpfError, RuntimeError)) as error:
        struck.generate(request)
    assert reason.removeprefix("unexpected RuntimeError: ") in str(error.value)
    assert list(tmp_path.iterdir()) == []
    sound = CachedGenerator(TinyGenerator(str(tiny_weights)), tmp_path)
    struck.made_by = sound.made_by
    clip = sound.generate(request)
    np.testing.assert_array_equal(clip.frames, struck.generate(request).frames)  # read, not made


@pytest.mark.parametrize(
    "what",
    [
        "raises",
        *(pytest.param(word, marks=pytest.mark.slow) for word in ("gives NaN", "gives too few")),
    ],
)
def test_a_generator_that_fails_is_a_row_and_passes(
    what: str, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    spoil, reason = GENERATORS[what]
    generate = TinyGenerator.generate
    calls = itertools.count()

    def struck(
        self: TinyGenerator, request: Request, warp: Any = None, watch: Any = None
    ) -> GeneratedClip:
        clip = generate(self, request, warp, watch)
        return spoil(clip) if next(calls) else clip

    words = ("benchmark.retimes=[none]", "embedder=histogram")
    with monkeypatch.context() as patch:
        patch.setattr(TinyGenerator, "generate", struck)
        first = generators.run(tiny_weights, tmp_path / "out", *words)
    failed = [record for record in first.results.records if record["status"] == "failed"]
    assert first.code == 1
    assert len(failed) == 2  # the second pair, by embedder and by oracle
    assert len(first.results.records) == 4
    assert all(reason in harness.check_one_line(record["reason"]) for record in failed)
    assert len(list((first.folder.root / "generated").iterdir())) == 1  # nonsense is not kept
    second = generators.run(tiny_weights, tmp_path / "out", *words)
    assert (second.code, second.results.reused) == (0, 2)
    undisturbed = generators.run(tiny_weights, tmp_path / "undisturbed", *words)
    for name in ("records.csv", "records.parquet"):
        assert second.folder.read(name) == undisturbed.folder.read(name)
