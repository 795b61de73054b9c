"""The shipped generator on held-out pairs, and the oracle that judges it."""

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
from synthetic.clips import FIRST_HELD_OUT_SEED
from synthetic.morph_pairs import HELD_OUT_PAIRS, KINDS, TRAINING_PAIRS
from synthetic.oracle import RenderOracle
from synthetic.shapes import HELD_OUT_SHAPES

SIZE = (32, 32)


@pytest.mark.usefixtures("one_thread")
def test_clips_have_the_ends_asked_for_and_depend_on_the_seed_alone():
    from spf.generators.tiny.sampling import TinySampler

    sampler = TinySampler()
    pair, seed = HELD_OUT_PAIRS[1]
    paint = pair.painter(SIZE, seed=seed)
    ends = paint(0.0), paint(1.0)
    clip, again, other = (sampler.sample(*ends, seed=x).tobytes() for x in (1, 1, 2))
    assert clip == again != other
    frames = np.frombuffer(clip, np.uint8).reshape(sampler.settings.num_frames, *SIZE, 3)
    assert sampler.sample(*ends, num_frames=33, steps=1).shape == (33, *SIZE, 3)
    for made, wanted in zip((frames[0], frames[-1]), ends, strict=True):
        assert np.square(made / 255.0 - wanted / 255.0).mean() <= 0.002


def test_held_out_pairs_share_no_silhouette_and_no_seed_with_training():
    assert {pair.kind for pair, _ in HELD_OUT_PAIRS} == set(KINDS)
    words = {word for pair in TRAINING_PAIRS for word in (pair.first, pair.second)}
    assert not words & set(HELD_OUT_SHAPES)
    for pair, seed in HELD_OUT_PAIRS:
        assert pair.held_out
        assert seed >= FIRST_HELD_OUT_SEED
        assert {pair.first, pair.second} <= set(HELD_OUT_SHAPES)


@pytest.mark.parametrize("index", [0, 4, 6])
def test_the_oracle_finds_the_parameter_of_true_renders(index):
    pair, seed = HELD_OUT_PAIRS[index]
    paint = pair.painter(SIZE, seed=seed)
    oracle = RenderOracle(paint)
    p = np.random.default_rng(0).permutation(np.linspace(0.0, 1.0, 23))
    frames = np.stack([paint(float(value)) for value in p])
    # The images are rounded to 8 bits, which hides changes of p below about 0.01.
    assert np.abs(oracle.parameter(frames) - p).max() <= 0.01
    assert oracle.residual(frames).max() < 1e-4
    assert oracle.residual(255 - frames).min() > 0.01


def rains(frames):
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
