"""LTX-Video on a complete pipeline in miniature: where its tokens stand, and its own settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from miniature_ltxv import CHANGES
from warping import asked, coordinates, uneven, watched_tables

from spf.errors import ConfigError
from spf.generators.base import Request
from spf.generators.ltxv import LtxVideo
from spf.pacing.bands import flat

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")
TOKENS = 6  # of a latent of the miniature


@pytest.fixture
def ltxv(adapters):
    return adapters("ltxv")


def other(generator: LtxVideo, *variant: str, **settings: Any) -> LtxVideo:
    """The loaded pipeline with other settings."""
    made = LtxVideo(*variant, path=generator.path, device="cpu", **settings)
    made.__dict__["pipeline"] = generator.pipeline
    return made


def calls(generator: LtxVideo, request: Request) -> list[dict[str, Any]]:
    """What the transformer is called with at each step of a generation."""
    seen: list[dict[str, Any]] = []
    handle = generator.pipeline.transformer.register_forward_pre_hook(
        lambda module, inputs, arguments: seen.append(dict(arguments)), with_kwargs=True
    )
    try:
        generator.generate(request)
    finally:
        handle.remove()
    return seen


def test_both_frames_reach_the_transformer_at_their_times(ltxv):
    """25 frames at 8 a second: the last one is frame 24, at 3 s; latents begin at 0, 1, 9, 17."""
    request = asked(ltxv)
    plain = calls(ltxv, request)[0]
    times = plain["video_coords"][0, 0].reshape(-1, TOKENS)
    assert torch.equal(times, torch.tensor([[24], [0], [1], [9], [17]]).expand(-1, TOKENS) / 8)
    levels = plain["timestep"][0].reshape(-1, TOKENS)
    assert torch.equal(
        levels, torch.tensor([[0.0], [0], [1000], [1000], [1000]]).expand(-1, TOKENS)
    )
    for name, place in (("last", 0), ("first", 1)):
        changed = calls(ltxv, replace(request, **{name: 255 - getattr(request, name)}))[0]
        moved = (changed["hidden_states"] != plain["hidden_states"]).any(dim=-1)[0]
        assert moved.reshape(-1, TOKENS).any(dim=1).tolist() == [x == place for x in range(5)]
    alone = calls(ltxv, replace(request, last=None))[0]["video_coords"][0, 0].reshape(-1, TOKENS)
    assert torch.equal(alone, times[1:])


def test_the_clock_maps_the_middle_of_a_latent_to_where_it_begins(ltxv):
    clock = ltxv.clock(asked(ltxv))
    assert clock.frames.tolist() == [0, 4.5, 12.5, 24]
    assert (clock.positions * 8).tolist() == [0, 1, 9, 17]


def test_a_warp_is_the_rope_at_moved_times(ltxv):
    """The rope itself, called with moved times in double precision."""
    warp = uneven(ltxv, flat(1.0))
    rope, inputs, cos, sin, _ = watched_tables(ltxv, warp)[0]
    coords = coordinates(inputs)
    shift = np.interp(coords[:, 0].numpy(), warp.positions, warp.shift)
    assert np.abs(shift[:, :TOKENS]).max() == 0  # the last frame
    assert np.abs(shift).max() > 1
    coords[:, 0] += torch.from_numpy(shift)
    moved = rope.forward(*inputs[:5], coords)
    omega = ltxv.ropes()[0].omega
    np.testing.assert_allclose(omega, np.pi / 20 * 10000 ** np.linspace(0, 1, 6), rtol=1e-6)
    # The rope itself rounds angles to float32, which are up to 10 omega.
    allowed = 5e-7 + 2.5e-7 * 10 * omega.repeat(6)
    for table, wanted in zip((cos, sin), moved, strict=True):
        error = np.abs(table - wanted.numpy())
        assert error[..., :4].max() == 0  # padding
        assert (error[..., 4:] <= allowed).all()


def test_distilled_models_take_their_own_steps(ltxv):
    distilled = other(ltxv, "0.9.8-distilled")
    seen = calls(distilled, asked(ltxv, steps=None))
    levels = [float(call["timestep"].max()) for call in seen]
    assert levels == pytest.approx([1000, 993, 987, 981, 975, 909, 725, 0.03])
    assert all(len(call["hidden_states"]) == 1 for call in seen)  # no guidance
    clip = distilled.generate(asked(ltxv, steps=2))
    assert clip.notes == ["2 steps on the general schedule: 0.9.8-distilled was distilled for 8"]
    assert len(calls(ltxv, asked(ltxv))[0]["hidden_states"]) == 2


def test_its_own_settings_are_part_of_it(ltxv):
    plain = ltxv.generate(asked(ltxv)).frames
    known = [ltxv.identity()]
    for name, value in CHANGES.items():
        changed = other(ltxv, **{name: value})
        assert (changed.generate(asked(ltxv)).frames != plain).any(), name
        known.append(changed.identity())
        for bad in (-0.1, 1.5, float("nan"), "x", True):
            with pytest.raises(ConfigError, match=f"model.{name}=.* must be a number") as caught:
                LtxVideo(device="cpu", **{name: bad})
            assert "\n" not in str(caught.value)
    assert len({str(entry) for entry in known}) == 4
