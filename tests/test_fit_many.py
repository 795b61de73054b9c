"""Many clips at once are fitted as each of them alone."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

import spf
from spf.progress.distances import stacked_angles
from spf.progress.fit import torch_angles


def clips() -> list[np.ndarray]:
    """Clips of mixed lengths, in no order, two of them alike in length and one static."""
    lengths = [81, 2, 40, 81, 3, 200, 30, 31, 40, 5]
    found = [oracles.random_walk(n, dim=8, step=0.5, seed=k) for k, n in enumerate(lengths)]
    return [*found, np.tile(found[0][:1], (40, 1))]


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"window": 5, "sigma": 3.0},
        {"ridge": 0.0},
        {"power": 2.0},
        {"monotone": "increments"},
        {"noise": "nugget"},
    ],
    ids=str,
)
def test_equals_a_loop(settings, timed):
    given = clips()
    for z in given:
        z.setflags(write=False)
    times = [
        np.cumsum(np.random.default_rng(k).random(len(z)) + 0.1) if timed else None
        for k, z in enumerate(given)
    ]
    many = spf.fit_many(given, times=times, **settings)
    assert len(many) == len(given)
    for curve, z, stamps in zip(many, clips(), times, strict=True):
        alone = spf.fit(z, times=stamps, **settings)
        for name in ("fitted", "angle", "progress"):
            np.testing.assert_allclose(getattr(curve, name), getattr(alone, name), atol=1e-5)
        np.testing.assert_array_equal(curve.times, alone.times)
        together, single = spf.score(curve), spf.score(alone)
        assert together.keys() == single.keys()
        for name, value in single.items():
            assert together[name] == pytest.approx(value, abs=1e-5, rel=1e-5, nan_ok=True), name
        assert spf.no_change_reason(curve) == spf.no_change_reason(alone)
        assert len(spf.segment(curve)) == len(spf.segment(alone))
    assert not np.shares_memory(many[0].fitted, many[3].fitted)
    assert spf.fit_many([]) == []


def test_bad_clips_and_times_are_named():
    for count in (0, 10, 12):
        with pytest.raises(ValueError, match=rf"\b{count}\b"):
            spf.fit_many(clips(), times=[None] * count)
    bad = clips()
    bad[6][11, 2] = np.nan
    with pytest.raises(ValueError, match=r"\b6\b.*\b11\b"):
        spf.fit_many(bad)
    with pytest.raises(ValueError, match=r"\b3\b"):
        spf.fit_many([*clips()[:3], np.ones((1, 8), np.float32)])


def test_the_torch_path_gives_the_same_angles():
    # On the CPU here; a GPU runs the very same lines.
    clips = np.stack([oracles.random_walk(50, dim=16, seed=seed) for seed in range(3)])
    clips[1, 20:25] = clips[1, 20]
    ours = stacked_angles(clips, 30)
    np.testing.assert_allclose(torch_angles(clips, 30, "cpu"), ours, atol=1e-7)
    assert torch_angles(clips, 30, "cpu")[1, 20, 0] == 0
    clips[2, 7, 3] = np.nan
    with pytest.raises(ValueError, match="frame 7"):
        torch_angles(clips, 30, "cpu")


@pytest.mark.gpu
def test_the_gpu_gives_the_same_curves():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    clips = [oracles.random_walk(length, dim=64, seed=length) for length in (5, 81, 81, 200)]
    for here, there in zip(
        spf.fit_many(clips, device="cpu"), spf.fit_many(clips, device="cuda"), strict=True
    ):
        np.testing.assert_allclose(there.progress, here.progress, atol=1e-5)
