"""The shipped generator: what it promises, on held-out pairs; and the oracle that judges it."""

import numpy as np
import pytest

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
