"""The warped clock on complete pipelines in miniature: a warp is what direct recomputation of the
rotary tables gives, and its hooks leave no trace."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import miniatures
import numpy as np
import pipelines
import pytest
import rope_oracle
from warping import STEPS, asked, coordinates, uneven, wan_output, watched_tables

from spf.errors import SpfError
from spf.generators.clock import wan_rope
from spf.generators.wan import Wan22
from spf.pacing.bands import Strength, flat
from spf.pacing.gamma import gamma
from spf.pacing.warp import Warp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_second_warp_is_refused_and_the_first_stays():
    transformer = pipelines.wan_transformer()
    ropes = [wan_rope(transformer)]
    warp = Warp(np.arange(5.0), np.array([0, 0.5, 1.0, 0.5, 0]), flat(1.0), "none")
    with warp.applied(ropes):
        warped = wan_output(transformer)
        with pytest.raises(SpfError, match="warped already"), warp.applied([wan_rope(transformer)]):
            pass
        assert torch.equal(wan_output(transformer), warped)
    assert not torch.equal(wan_output(transformer), warped)
    with warp.applied(ropes):  # and it can be warped again afterwards
        assert torch.equal(wan_output(transformer), warped)


def test_offloading(adapters):
    """It moves weights between devices with hooks of its own; here from the CPU to the CPU."""
    plain = adapters("i2v")
    warp = uneven(plain)
    offloaded = pipelines.loaded(Wan22(path=plain.path, device="cpu", offload="model"))
    video = offloaded.generate(asked(plain), warp).frames
    np.testing.assert_array_equal(video, plain.generate(asked(plain), warp).frames)


def test_compiled_transformers():
    transformer = pipelines.wan_transformer()
    ropes = [wan_rope(transformer)]
    warp = Warp(np.arange(5.0), np.array([0, 0.5, 1.0, 0.5, 0]), flat(1.0), "linear")
    plain = wan_output(transformer)
    with warp.applied(ropes):
        warped = wan_output(transformer)
        compiled = torch.compile(transformer, backend="eager")
        torch.testing.assert_close(wan_output(compiled), warped)
        torch.testing.assert_close(wan_output(compiled, 100.0), wan_output(transformer, 100.0))
    torch.testing.assert_close(wan_output(transformer), plain)
    # A whole one would keep the hooks that it was compiled with, or ignore new ones.
    transformer.compile(backend="eager")
    with pytest.raises(SpfError, match="compile_repeated_blocks"), warp.applied(ropes):
        pass
    assert not transformer._forward_pre_hooks


@pytest.mark.parametrize("schedule", ["none", "exp_up"])
@pytest.mark.parametrize("word", ["i2v", "ti2v", "wan21/flf2v", "wan21/vace-1.3b", "skyreels"])
def test_wan_tables_equal_direct_recomputation(adapters, word, schedule):
    generator = adapters(word)
    warp = uneven(generator, Strength(0.3, 0.9, 2.0), schedule)
    seen = watched_tables(generator, warp)
    assert len(seen) >= 2 * STEPS  # with and without the prompt
    assert {id(entry[0]) for entry in seen} == {id(rope.rope) for rope in generator.ropes()}
    assert len({entry[-1] for entry in seen}) == STEPS
    for _, inputs, cos, sin, level in seen:
        frames, height, width = inputs[0].shape[2], *(x // 2 for x in inputs[0].shape[3:])
        assert frames == len(warp.shift)
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
@pytest.mark.parametrize("word", ["split", "interleaved", "ltxv"])
def test_ltx_tables_equal_direct_recomputation(adapters, word, schedule):
    generator = adapters(word)
    warp = uneven(generator, Strength(0.3, 0.9, 2.0), schedule)
    seen = watched_tables(generator, warp)
    assert len(seen) >= STEPS
    assert len({entry[-1] for entry in seen}) == STEPS
    for rope, inputs, cos, sin, level in seen:
        coords = coordinates(inputs)[0].numpy()  # (3, N)
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
        double = getattr(rope, "double_precision", False)
        allowed = 2e-6 + (3e-7 if double else 2e-6) * np.abs(angles)
        for table, wanted in ((cos, np.cos(angles)), (sin, np.sin(angles))):
            for entry in table:  # of the batch
                padding = (entry == 1) | (entry == 0)
                assert (np.abs(entry - np.where(padding, entry, wanted)) <= allowed).all()
        assert not np.allclose(cos[0], np.cos(rope_oracle.ltx2_angles(coords, coords[:1].T.repeat(
            bands, 1), rope)), atol=0.1)  # fmt: skip


def test_ltx2_places_the_last_frame_exactly(adapters):
    generator = adapters("split")
    request = asked(generator)
    seen = watched_tables(generator, uneven(generator))
    seconds = coordinates(seen[0][1])[0, 0].numpy() * request.fps
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

    def tables(warped: bool, audio: bool = False) -> dict[str, Any]:
        other = miniatures.adapter("ltx2/split", generator.path, warp_audio=audio)
        other.__dict__["pipeline"] = generator.pipeline
        found: dict[str, Any] = {}
        with uneven(other).applied(other.ropes()) if warped else nullcontext():
            handles = [
                getattr(generator.pipeline.transformer, name).register_forward_hook(
                    lambda module, inputs, out, name=name: found.update({name: out[0].clone()})
                )
                for name in names
            ]
            other.generate(asked(other, steps=1))
        for handle in handles:
            handle.remove()
        return found

    plain, silent, loud = tables(False), tables(True), tables(True, audio=True)
    for name in names:
        assert torch.equal(silent[name], plain[name]) == (name != "rope"), name
        assert not torch.equal(loud[name], plain[name]), name
