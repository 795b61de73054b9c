"""A warp of the rotary clock is what direct recomputation gives, band by band, latent by latent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pipelines
import pytest
import rope_oracle
from warping import STEPS, asked, uneven, wan_output, watched_tables

from spf.generators.clock import wan_rope
from spf.generators.ltx2 import Ltx2
from spf.pacing.bands import Strength, flat
from spf.pacing.gamma import gamma
from spf.pacing.warp import Warp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("schedule", ["none", "exp_up"])
@pytest.mark.parametrize("word", ["i2v", "flf2v", "ti2v"])
def test_wan_tables_equal_direct_recomputation(adapters, word, schedule):
    generator = adapters(word)
    warp = uneven(generator, Strength(0.3, 0.9, 2.0), schedule)
    seen = watched_tables(generator, warp)
    assert len(seen) >= 2 * STEPS  # with and without the prompt
    assert {id(entry[0]) for entry in seen} == {id(rope.rope) for rope in generator.ropes()}
    assert len({entry[-1] for entry in seen}) == STEPS
    for _, inputs, cos, sin, level in seen:
        frames, height, width = inputs[0].shape[2], *(x // 2 for x in inputs[0].shape[3:])
        positions = np.empty((frames, 6))
        for t in range(frames):
            for b in range(6):
                strength = rope_oracle.alpha(b, 6, 0.3, 0.9, 2.0)
                strength *= float(gamma(schedule, np.array(level)))
                positions[t, b] = t + strength * warp.shift[t]
        angles = rope_oracle.wan_angles(positions, height, width, 32)
        np.testing.assert_allclose(cos[0, :, 0], np.cos(angles), atol=2e-6)
        np.testing.assert_allclose(sin[0, :, 0], np.sin(angles), atol=2e-6)


@pytest.mark.parametrize("schedule", ["none", "exp_up"])
@pytest.mark.parametrize("word", ["split", "interleaved"])
def test_ltx2_tables_equal_direct_recomputation(adapters, word, schedule):
    generator = adapters(word)
    warp = uneven(generator, Strength(0.3, 0.9, 2.0), schedule)
    seen = watched_tables(generator, warp)
    assert len(seen) >= 2 * STEPS
    for rope, inputs, cos, sin, level in seen:
        coords = inputs[0][0].double().mean(dim=-1).numpy()  # (3, N)
        shift = np.interp(coords[0], warp.positions, warp.shift)
        bands = rope.dim // 6
        times = np.empty((coords.shape[1], bands))
        for k in range(bands):
            strength = rope_oracle.alpha(bands - 1 - k, bands, 0.3, 0.9, 2.0)
            strength *= float(gamma(schedule, np.array(level)))
            times[:, k] = coords[0] + strength * shift
        angles = rope_oracle.ltx2_angles(coords, times, rope)
        # The module rounds its own angles, of up to 16,000 radians, to float32, and where it is
        # not in double precision its rates too.
        allowed = 2e-6 + (3e-7 if rope.double_precision else 2e-6) * np.abs(angles)
        for table, wanted in ((cos, np.cos(angles)), (sin, np.sin(angles))):
            for entry in table:  # of the batch
                padding = (entry == 1) | (entry == 0)
                assert (np.abs(entry - np.where(padding, entry, wanted)) <= allowed).all()
        assert not np.allclose(cos[0], np.cos(rope_oracle.ltx2_angles(coords, coords[:1].T.repeat(
            bands, 1), rope)), atol=0.1)  # fmt: skip


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_wan_knows_only_differences_of_positions(kind):
    transformer = pipelines.wan_transformer().to(getattr(torch, kind))
    plain = wan_output(transformer)
    uniform = Warp(np.arange(5.0), np.full(5, 2.375), flat(1.0), "none")
    other = Warp(np.arange(5.0), np.array([0, 2.375, 2.375, 2.375, 0]), flat(1.0), "none")
    changes = []
    for warp in (uniform, other):
        with warp.applied([wan_rope(transformer)]):
            changes.append(float((wan_output(transformer) - plain).norm() / plain.norm()))
    assert changes[0] < (1e-5 if kind == "float32" else 1e-12)
    assert changes[1] > 0.01


# Order


# LTX-2: the last frame, and the sound


def test_ltx2_places_the_last_frame_exactly(adapters):
    generator = adapters("split")
    request = asked(generator)
    seen = watched_tables(generator, uneven(generator))
    seconds = seen[0][1][0][0, 0].double().mean(dim=-1).numpy() * request.fps
    assert seconds.max() == pytest.approx(24 + 0.5)  # the middle of frame 24, the last
    assert (seconds > 24).sum() == 6  # the keyframe's tokens, after those of the 4 latents
    assert len(seconds) == 4 * 6 + 6
    # It stands still under the warp.
    plain = watched_tables(generator, uneven(generator, flat(0.0)))
    np.testing.assert_array_equal(seen[0][2][0][:, -6:], plain[0][2][0][:, -6:])
    assert not np.array_equal(seen[0][2][0][:, :-6], plain[0][2][0][:, :-6])


def test_the_sound_stays_on_the_clock_unless_asked(adapters):
    generator = adapters("split")
    names = ("rope", "audio_rope", "cross_attn_rope", "cross_attn_audio_rope")
    transformer = generator.pipeline.transformer
    tables: dict[str, Any] = {}
    handles = []

    def keep(name: str, key: str) -> Any:
        def hook(module: Any, inputs: Any, out: Any) -> None:
            tables[name + key] = out[0].clone()

        return hook

    for audio in (False, True):
        other = Ltx2(path=generator.path, device="cpu", warp_audio=audio)
        other.__dict__["pipeline"] = generator.pipeline
        with uneven(other).applied(other.ropes()):
            for name in names:
                module = getattr(transformer, name)
                handles.append(module.register_forward_hook(keep(name, str(audio))))
            other.generate(asked(other, steps=1))
        for handle in handles:
            handle.remove()
    other = Ltx2(path=generator.path, device="cpu")
    other.__dict__["pipeline"] = generator.pipeline
    for name in names:
        handles.append(getattr(transformer, name).register_forward_hook(keep(name, "plain")))
    other.generate(asked(other, steps=1))
    for handle in handles:
        handle.remove()
    for name in names:
        moves = not torch.equal(tables[name + "False"], tables[name + "plain"])
        assert moves == (name == "rope"), name
        assert not torch.equal(tables[name + "True"], tables[name + "plain"]), name
