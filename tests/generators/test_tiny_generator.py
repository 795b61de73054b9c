"""The shipped generator: what it promises, on held-out pairs; and the oracle that judges it."""

from pathlib import Path

import numpy as np
import pytest

from synthetic.clips import FIRST_HELD_OUT_SEED
from synthetic.morph_pairs import HELD_OUT_PAIRS, KINDS, TRAINING_PAIRS
from synthetic.oracle import RenderOracle
from synthetic.shapes import HELD_OUT_SHAPES

WEIGHTS = Path(__file__).parents[2] / "spf/generators/tiny/weights"
SIZE = (32, 32)


@pytest.fixture(scope="module")
def sampler():
    import torch

    from spf.generators.tiny.sampling import TinySampler

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TinySampler()
    torch.set_num_threads(threads)


def ends(index):
    pair, seed = HELD_OUT_PAIRS[index]
    paint = pair.painter(SIZE, seed=seed)
    return paint(0.0), paint(1.0)


def test_same_seed_same_bytes_and_other_seed_other_bytes(sampler):
    one, again, other = (
        sampler.sample(*ends(0), num_frames=7, seed=seed, steps=3) for seed in (3, 3, 4)
    )
    assert one.tobytes() == again.tobytes()
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("index", [1, 5])
def test_end_frames_are_the_given_ones(sampler, index):
    first, last = ends(index)
    clip = sampler.sample(first, last, seed=1)
    assert clip.shape == (sampler.settings.num_frames, *SIZE, 3)
    assert sampler.sample(first, last, num_frames=33, steps=1).shape == (33, *SIZE, 3)
    for made, given in ((clip[0], first), (clip[-1], last)):
        assert np.square(made / 255.0 - given / 255.0).mean() <= 0.002


def test_held_out_pairs_share_no_silhouette_and_no_seed_with_training():
    assert len(HELD_OUT_PAIRS) >= 16
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
    # The pictures are rounded to 8 bits, which hides changes of p below about 0.01.
    assert np.abs(oracle.parameter(frames) - p).max() <= 0.01
    assert oracle.residual(frames).max() < 1e-4
    assert oracle.residual(255 - frames).min() > 0.01
