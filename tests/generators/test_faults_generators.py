"""A generator may raise or give nonsense: its rows name that, nothing is stored, and it passes."""

import itertools
from dataclasses import replace

import generators
import harness
import numpy as np
import pytest

from spf.errors import SpfError
from spf.generators.base import Request
from spf.generators.cached import CachedGenerator
from spf.generators.tiny.adapter import TinyGenerator


def rains(frames: np.ndarray) -> np.ndarray:
    raise RuntimeError("mat1 and mat2")


@pytest.mark.parametrize(("spoil", "reason"), [
    (rains, "mat1 and mat2"),
    (lambda x: x * np.nan, "and type float64, not"),
    (lambda x: None, "frames of shape () and type None"),
    (lambda x: x[:0], "frames of shape (0, "),
    (lambda x: x.repeat(2, 0), "gave 18 frames instead of 9"),
], ids=["raises", "NaN", "nothing", "no frame", "too many"])  # fmt: skip
def test_nonsense_of_a_generator_is_not_kept(spoil, reason, tiny_weights, tmp_path, one_thread):
    class Struck(TinyGenerator):
        def generate(self, *args):
            clip = super().generate(*args)
            return replace(clip, frames=spoil(clip.frames))

    image = np.full((32, 32, 3), 90, np.uint8)
    request = Request(image, 255 - image, num_frames=9)
    struck = CachedGenerator(Struck(str(tiny_weights)), tmp_path)
    with pytest.raises((SpfError, RuntimeError)) as error:
        struck.generate(request)
    assert reason in str(error.value)
    assert list(tmp_path.iterdir()) == []
    sound = CachedGenerator(TinyGenerator(str(tiny_weights)), tmp_path)
    struck.made_by = sound.made_by
    clip = sound.generate(request)
    np.testing.assert_array_equal(clip.frames, struck.generate(request).frames)  # read, not made


def test_a_generator_that_fails_is_a_row_and_passes(
    tiny_weights, tmp_path, monkeypatch, one_thread
):
    generate, calls = TinyGenerator.generate, itertools.count()

    def struck(self, request, *more):
        clip = generate(self, request, *more)
        return replace(clip, frames=rains(clip.frames)) if next(calls) else clip

    words = ("benchmark.retimes=[none]", "embedder=histogram")
    with monkeypatch.context() as patch:
        patch.setattr(TinyGenerator, "generate", struck)
        first = generators.run(tiny_weights, tmp_path / "out", *words)
    failed = [record for record in first.results.records if record["status"] == "failed"]
    assert first.code == 1
    assert (len(failed), len(first.results.records)) == (2, 4)  # by embedder and by oracle
    for record in failed:
        text = harness.check_one_line(record["reason"])
        assert "unexpected RuntimeError: mat1 and mat2" in text
    assert len(list((first.folder.root / "generated").iterdir())) == 1  # nonsense is not stored
    second = generators.run(tiny_weights, tmp_path / "out", *words)
    assert (second.code, second.results.reused) == (0, 2)
    undisturbed = generators.run(tiny_weights, tmp_path / "undisturbed", *words)
    assert second.folder.read("records.csv") == undisturbed.folder.read("records.csv")
