"""The warped clock on complete pipelines in miniature: a warp is what direct recomputation of the
rotary tables gives, and its hooks leave no trace."""

from contextlib import ExitStack, nullcontext

import miniatures
import numpy as np
import oracles
import pipelines
import pytest
from warping import STEPS, asked, coordinates, uneven, watched_tables

from spf.errors import SpfError
from spf.generators.clock import wan_rope
from spf.pacing.warp import Strength, Warp, flat, gamma

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


def wan_output(transformer, time=600.0):
    state = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 12, 5, 4, 6, generator=state, dtype=transformer.dtype)
    text = torch.randn(1, 7, pipelines.TEXT, generator=state, dtype=transformer.dtype)
    named = {"timestep": torch.full((1,), time), "encoder_hidden_states": text}
    with torch.inference_mode():
        return transformer(hidden_states=hidden, return_dict=False, **named)[0]


SHIFT = np.array([0, 0.5, 1.0, 0.5, 0])
ALPHA = 0.3, 0.9, 2.0


def test_a_second_warp_is_refused_and_the_first_stays():
    transformer = pipelines.wan_transformer()
    ropes = [wan_rope(transformer)]
    warp = Warp(np.arange(5.0), SHIFT, flat(1.0), "none")
    with warp.applied(ropes):
        warped = wan_output(transformer)
        with pytest.raises(SpfError, match="warped already"), warp.applied([wan_rope(transformer)]):
            pass
        assert torch.equal(wan_output(transformer), warped)
    assert not torch.equal(wan_output(transformer), warped)
    with warp.applied(ropes):  # and it can be warped again afterwards
        assert torch.equal(wan_output(transformer), warped)


def test_compiled_transformers():
    transformer = pipelines.wan_transformer()
    ropes = [wan_rope(transformer)]
    warp = Warp(np.arange(5.0), SHIFT, flat(1.0), "linear")
    plain = wan_output(transformer)
    with warp.applied(ropes):
        warped = wan_output(transformer)
        compiled = torch.compile(transformer, backend="eager")
        torch.testing.assert_close(wan_output(compiled), warped)
        torch.testing.assert_close(wan_output(compiled, 100.0), wan_output(transformer, 100.0))
    torch.testing.assert_close(wan_output(transformer), plain)
    # A whole one would hold on to the hooks that it was compiled with, or ignore new ones.
    transformer.compile(backend="eager")
    with pytest.raises(SpfError, match="compile_repeated_blocks"), warp.applied(ropes):
        pass
    assert not transformer._forward_pre_hooks


def strengths(bands, schedule, level):
    """gamma alpha_b by rank, highest frequency first."""
    acting = float(gamma(schedule, np.array(level)))
    return np.array([acting * oracles.alpha(b, bands, *ALPHA) for b in range(bands)])


@pytest.mark.parametrize(("word", "schedule"), [
    *(("i2v", "none"), ("i2v", "exp_up"), ("ti2v", "none"), ("skyreels", "exp_up")),
    *(("wan21/flf2v", "exp_up"), ("wan21/vace-1.3b", "none")),
])  # fmt: skip
def test_wan_tables_equal_direct_recomputation(adapters, word, schedule):
    generator = adapters(word)
    warp = uneven(generator, Strength(*ALPHA), schedule)
    seen = watched_tables(generator, warp)
    assert len(seen) >= 2 * STEPS  # with and without the prompt
    assert {id(entry[0]) for entry in seen} == {id(rope.rope) for rope in generator.ropes()}
    assert len({entry[-1] for entry in seen}) == STEPS
    for _, inputs, cos, sin, level in seen:
        frames, height, width = inputs[0].shape[2], *(x // 2 for x in inputs[0].shape[3:])
        assert frames == len(warp.shift)
        positions = np.arange(frames)[:, None] + np.outer(warp.shift, strengths(6, schedule, level))
        angles = oracles.wan_angles(positions, height, width, 32)
        np.testing.assert_allclose(cos[0, :, 0], np.cos(angles), atol=2e-6)
        np.testing.assert_allclose(sin[0, :, 0], np.sin(angles), atol=2e-6)


@pytest.mark.parametrize(
    ("word", "schedule"),
    [("split", "none"), ("split", "exp_up"), ("interleaved", "none"), ("ltxv", "exp_up")],
)
def test_ltx_tables_equal_direct_recomputation(adapters, word, schedule):
    generator = adapters(word)
    warp = uneven(generator, Strength(*ALPHA), schedule)
    seen = watched_tables(generator, warp)
    assert len(seen) >= STEPS
    assert len({entry[-1] for entry in seen}) == STEPS
    for rope, inputs, cos, sin, level in seen:
        coords = coordinates(inputs)[0].numpy()  # (3, N)
        shift = np.interp(coords[0], warp.positions, warp.shift)
        bands = rope.dim // 6
        times = coords[0][:, None] + np.outer(shift, strengths(bands, schedule, level)[::-1])
        angles = oracles.ltx2_angles(coords, times, rope)
        # The module rounds its own angles, of up to 16,000 radians, to float32, and where it is
        # not in double precision its rates too.
        double = getattr(rope, "double_precision", False)
        allowed = 2e-6 + (3e-7 if double else 2e-6) * np.abs(angles)
        for table, wanted in ((cos, np.cos(angles)), (sin, np.sin(angles))):
            for entry in table:  # of the batch
                padding = (entry == 1) | (entry == 0)
                assert (np.abs(entry - np.where(padding, entry, wanted)) <= allowed).all()
        unmoved = oracles.ltx2_angles(coords, coords[:1].T.repeat(bands, 1), rope)
        assert not np.allclose(cos[0], np.cos(unmoved), atol=0.1)


def test_ltx2_places_the_last_frame_exactly(adapters):
    generator = adapters("split")
    seen = watched_tables(generator, uneven(generator))
    seconds = coordinates(seen[0][1])[0, 0].numpy() * asked(generator).fps
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

    def tables(warped, audio=False):
        other, found = miniatures.sharing(generator, warp_audio=audio), {}
        with (
            uneven(other).applied(other.ropes()) if warped else nullcontext(),
            ExitStack() as hooks,
        ):
            for name in names:
                note = lambda *call, name=name: found.update({name: call[-1][0].clone()})  # noqa: E731
                rope = getattr(generator.pipeline.transformer, name)
                hooks.enter_context(rope.register_forward_hook(note))
            other.generate(asked(other, steps=1))
        return found

    plain, silent, loud = tables(False), tables(True), tables(True, audio=True)
    for name in names:
        assert torch.equal(silent[name], plain[name]) == (name != "rope"), name
        assert not torch.equal(loud[name], plain[name]), name
