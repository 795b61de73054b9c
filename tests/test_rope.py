"""The warp of the rotary clock, on complete pipelines in miniature and through each adapter."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pipelines
import pytest
import rope_oracle

from spf.errors import SpfError
from spf.generators.base import Request
from spf.generators.clock import wan_rope
from spf.generators.ltx2 import Ltx2, ltx2_rope
from spf.generators.wan import Wan22
from spf.retime.bands import Strength, flat
from spf.retime.gamma import gamma
from spf.retime.warp import Warp

torch = pytest.importorskip("torch")

WORDS = ["i2v", "flf2v", "ti2v", "split", "interleaved"]
SIZES = {"wan22": (32, 64), "ltx2": (64, 96)}  # 2 x 4 and 2 x 3 tokens a latent
STEPS = 2  # one for each of the experts


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Threads cost models this small more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """Word -> the adapter on a saved folder; each is made at its first use, and loaded once."""
    root = tmp_path_factory.mktemp("pipelines")

    @functools.cache
    def made(word: str) -> Any:
        if word in ("split", "interleaved"):
            return Ltx2(path=pipelines.save_ltx2(root / word, word), device="cpu")
        return Wan22(word, path=pipelines.save_wan(root / word, word), device="cpu")

    return made


@pytest.fixture(params=WORDS)
def generator(request, generators):
    return generators(request.param)


def asked(generator: Any, **more: Any) -> Request:
    """A request that the model in miniature fulfils in a blink: 4 latents, none of them square."""
    first, last = pipelines.frames(*SIZES[generator.name])
    settings = {"num_frames": 3 * generator.factor + 1, "steps": STEPS, "seed": 7, "fps": 8.0}
    if getattr(generator, "variant", "") != "ti2v":
        settings["last"] = last
    return Request(first, prompt="a cat", **(settings | more))


def uneven(generator: Any, strength: Strength | None = None, gamma: str = "none") -> Warp:
    """A warp without any symmetry: a long hold, then haste."""
    clock = generator.clock(asked(generator))
    count = round(clock.frames[-1]) + 1
    tau = (count - 1) * (np.arange(count) / (count - 1)) ** 3
    return Warp.from_time_map(clock, tau, strength or flat(1.0), gamma)


def baseline(generator: Any) -> np.ndarray:
    if not hasattr(generator, "baseline"):
        generator.baseline = generator.generate(asked(generator)).frames
    return generator.baseline


def hooks(generator: Any) -> list[int]:
    """How many hooks the transformers and everything in them have."""
    experts = {id(rope.transformer): rope.transformer for rope in generator.ropes()}
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs")
    kinds += ("_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called")
    return [
        len(getattr(module, kind))
        for expert in experts.values()
        for module in expert.modules()
        for kind in kinds
    ]


# What must not change anything


def test_zero_strength_and_identity_are_bit_identical(generator):
    request = asked(generator)
    clock = generator.clock(request)
    identity = np.arange(round(clock.frames[-1]) + 1, dtype=float)
    still = uneven(generator, flat(0.0))
    assert np.abs(still.shift).max() > 0.1
    for warp in (still, Warp.from_time_map(clock, identity, flat(1.0), "none")):
        np.testing.assert_array_equal(generator.generate(request, warp).frames, baseline(generator))


def test_removal_restores(generator):
    before = hooks(generator)
    warped = generator.generate(asked(generator), uneven(generator)).frames
    assert hooks(generator) == before
    assert not any(before)
    # Visibly another video: by several grey levels.
    assert np.abs(warped.astype(int) - baseline(generator)).mean() > 1
    np.testing.assert_array_equal(generator.generate(asked(generator)).frames, baseline(generator))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("word", ["i2v", "split"])
def test_exceptions_restore(generators, word, error):
    generator = generators(word)

    def stop(step: int, steps: int) -> None:
        raise error

    with pytest.raises(error):
        generator.generate(asked(generator), uneven(generator), watch=stop)
    assert not any(hooks(generator))
    np.testing.assert_array_equal(generator.generate(asked(generator)).frames, baseline(generator))


def test_a_warp_generates_the_same_twice(generator):
    warp = uneven(generator, Strength(), "exp_up")
    one, two = (generator.generate(asked(generator), warp).frames for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (one != baseline(generator)).any()


# A warp is what direct recomputation gives


def watched_tables(generator: Any, warp: Warp) -> list[tuple[Any, ...]]:
    """(rope, its inputs, cos, sin, noise level) of every call of a generation, as the attention
    gets them."""
    seen: list[tuple[Any, ...]] = []
    levels: list[float] = []
    handles: list[Any] = []

    def level(module: Any, inputs: Any, arguments: dict[str, Any]) -> None:
        time = arguments["sigma"] if "sigma" in arguments else arguments["timestep"]
        levels.append(float(time.max()) / 1000)

    def table(module: Any, inputs: Any, tables: Any) -> None:
        seen.append((module, inputs, *(x.numpy().copy() for x in tables), levels[-1]))

    ropes = generator.ropes()
    with warp.applied(ropes):
        try:
            for rope in ropes:
                handles.append(rope.transformer.register_forward_pre_hook(level, with_kwargs=True))
                handles.append(rope.rope.register_forward_hook(table))
            generator.generate(asked(generator))
        finally:
            for handle in handles:
                handle.remove()
    return seen


@pytest.mark.parametrize("schedule", ["none", "exp_up"])
@pytest.mark.parametrize("word", ["i2v", "flf2v", "ti2v"])
def test_wan_tables_equal_direct_recomputation(generators, word, schedule):
    generator = generators(word)
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
def test_ltx2_tables_equal_direct_recomputation(generators, word, schedule):
    generator = generators(word)
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


def test_a_video_is_that_of_recomputed_tables(generators):
    """End to end: the ropes of both experts replaced by ones that compute every table anew."""
    generator = generators("i2v")
    warp = uneven(generator, Strength(0.3, 0.9, 2.0))
    strength = [rope_oracle.alpha(b, 6, 0.3, 0.9, 2.0) for b in range(6)]
    positions = np.arange(4)[:, None] + warp.shift[:, None] * np.array(strength)

    class Recomputed(torch.nn.Module):
        def forward(self, hidden: Any) -> Any:
            height, width = (x // 2 for x in hidden.shape[3:])
            angles = torch.from_numpy(rope_oracle.wan_angles(positions, height, width, 32))
            return tuple(x.float()[None, :, None] for x in (angles.cos(), angles.sin()))

    warped = generator.generate(asked(generator), warp).frames
    pipe = generator.pipeline
    kept = [(expert, expert.rope) for expert in (pipe.transformer, pipe.transformer_2)]
    try:
        for expert, _ in kept:
            expert.rope = Recomputed()
        direct = generator.generate(asked(generator)).frames
    finally:
        for expert, rope in kept:
            expert.rope = rope
    assert np.abs(warped.astype(int) - direct).max() <= 1
    assert np.abs(warped.astype(int) - baseline(generator)).mean() > 1


def wan_output(transformer: Any, time: float = 600.0) -> Any:
    state = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 12, 5, 4, 6, generator=state, dtype=transformer.dtype)
    text = torch.randn(1, 7, pipelines.TEXT, generator=state, dtype=transformer.dtype)
    with torch.inference_mode():
        return transformer(
            hidden_states=hidden,
            timestep=torch.full((1,), time),
            encoder_hidden_states=text,
            return_dict=False,
        )[0]


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


@pytest.mark.parametrize("word", ["split", "interleaved"])
def test_ltx2_knows_only_differences_of_positions(generators, word):
    """A uniform shift of all tokens, keyframe and all, at the transformer inside its pipeline."""
    generator = generators(word)
    outputs: list[Any] = []
    transformer = generator.pipeline.transformer
    clock = generator.clock(asked(generator))
    handle = transformer.register_forward_hook(
        lambda module, inputs, out: outputs.append(out[0].double())
    )
    shifts = [np.zeros(4), np.full(4, 0.375), np.array([0, 0.375, 0.375, 0])]
    try:
        for shift in shifts:
            warp = Warp(clock.positions, shift, flat(1.0), "none")
            generator.generate(asked(generator, steps=1), warp)
    finally:
        handle.remove()
    calls = len(outputs) // 3
    plain, uniform, other = (outputs[k * calls : (k + 1) * calls] for k in range(3))
    for one, two, three in zip(plain, uniform, other, strict=True):
        # Rates of 1571 rad a second in float32 tables: their rounding is what is left.
        assert float((two - one).norm() / one.norm()) < 1e-5
        assert float((three - one).norm() / one.norm()) > 1e-3


# Order


def test_the_order_of_latents_matters():
    """Shifting only the second latent is not shifting only the last but one."""
    transformer = pipelines.wan_transformer()
    outputs = []
    for latent in (1, 3):
        shift = np.zeros(5)
        shift[latent] = 0.8
        with Warp(np.arange(5.0), shift, flat(1.0), "none").applied([wan_rope(transformer)]):
            outputs.append(wan_output(transformer))
    assert float((outputs[0] - outputs[1]).abs().max()) > 1e-3


def test_low_bands_and_high_bands_are_not_swapped():
    """alpha_low belongs to the highest frequency: alone, it turns the first channels only."""
    transformer = pipelines.wan_transformer()
    rope = wan_rope(transformer)
    hidden = torch.zeros(1, 12, 5, 4, 6)
    plain = transformer.rope(hidden)[0][0, :, 0]
    warp = Warp(np.arange(5.0), np.array([0, 0.7, 0.7, 0.7, 0]), Strength(1.0, 0.0, 200.0), "none")
    with warp.applied([rope]):
        wan_output(transformer)  # which leaves a noise level
        turned = transformer.rope(hidden)[0][0, :, 0]
    changed = (turned != plain).any(dim=0)
    assert changed[:2].all()
    assert not changed[2:].any()

    ltx = pipelines.ltx2_transformer("interleaved")
    highest = int(np.argmax(ltx2_rope(ltx, "rope").omega))
    assert highest == 5
    assert wan_rope(transformer).omega.argmax() == 0


def test_gamma_weakens_with_the_noise():
    transformer = pipelines.wan_transformer()
    shift = np.array([0, 0.5, 1.0, 0.5, 0])
    changes = []
    for time in (999.0, 500.0, 0.0):
        plain = wan_output(transformer, time)
        with Warp(np.arange(5.0), shift, flat(1.0), "linear").applied([wan_rope(transformer)]):
            changes.append(float((wan_output(transformer, time) - plain).norm() / plain.norm()))
    assert changes[0] > changes[1] > changes[2] == 0.0


def test_timesteps_by_token_count_by_their_largest(generators):
    """TI2V gives 0 to the tokens of the first frame."""
    seen = watched_tables(generators("ti2v"), uneven(generators("ti2v"), gamma="linear"))
    levels = [entry[-1] for entry in seen]
    assert max(levels) > 0.9
    assert min(levels) > 0.1


# LTX-2: the last frame, and the sound


def test_ltx2_places_the_last_frame_exactly(generators):
    generator = generators("split")
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


def test_the_sound_stays_on_the_clock_unless_asked(generators):
    generator = generators("split")
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


# Living with hooks


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


def test_saving_and_copying_while_warped(tmp_path):
    from diffusers import WanTransformer3DModel

    transformer = pipelines.wan_transformer()
    plain = wan_output(transformer)
    warp = Warp(np.arange(5.0), np.array([0, 0.5, 1.0, 0.5, 0]), flat(1.0), "none")
    with warp.applied([wan_rope(transformer)]):
        transformer.save_pretrained(tmp_path)
        copied = copy.deepcopy(transformer)
        warped = wan_output(transformer)
        assert torch.equal(wan_output(copied), warped)
    loaded = WanTransformer3DModel.from_pretrained(tmp_path).eval()
    assert torch.equal(wan_output(loaded), plain)


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading(generators, offload):
    """Both move weights between devices with hooks of their own; here from the CPU to the CPU.

    Of sequential offloading only what it does to the experts: on the CPU alone, accelerate stumbles
    over the text encoder's shared embedding.
    """
    import accelerate

    plain = generators("i2v")
    warp = uneven(plain)
    offloaded = Wan22(path=plain.path, device="cpu", offload=offload.replace("sequential", "none"))
    if offload == "sequential":
        for expert in (offloaded.pipeline.transformer, offloaded.pipeline.transformer_2):
            accelerate.cpu_offload(expert, torch.device("cpu"), offload_buffers=True)
    video = offloaded.generate(asked(plain), warp).frames
    np.testing.assert_array_equal(video, plain.generate(asked(plain), warp).frames)
    again = offloaded.generate(asked(plain)).frames
    np.testing.assert_array_equal(again, baseline(plain))


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
    # Blocks compiled one by one leave the rope alone: warps come and go.
    transformer.compile_repeated_blocks(backend="eager")
    torch.testing.assert_close(wan_output(transformer), plain)
    with warp.applied(ropes):
        torch.testing.assert_close(wan_output(transformer), warped)
    torch.testing.assert_close(wan_output(transformer), plain)
    # A whole one would keep the hooks that it was compiled with, or ignore new ones.
    transformer.compile(backend="eager")
    with pytest.raises(SpfError, match="compile_repeated_blocks"), warp.applied(ropes):
        pass
    assert not transformer._forward_pre_hooks


def test_lower_precision():
    """bfloat16 as diffusers loads it (tables in float32), and cast whole (tables in bfloat16)."""
    transformer = pipelines.wan_transformer().to(torch.bfloat16)
    assert transformer.rope.freqs_cos.dtype == torch.bfloat16
    plain = wan_output(transformer)
    zero = Warp(np.arange(5.0), np.zeros(5), flat(1.0), "none")
    warp = Warp(np.arange(5.0), np.array([0, 0.5, 1.0, 0.5, 0]), flat(1.0), "none")
    with zero.applied([wan_rope(transformer)]):
        assert torch.equal(wan_output(transformer), plain)
    with warp.applied([wan_rope(transformer)]):
        assert wan_output(transformer).dtype == torch.bfloat16
        assert not torch.equal(wan_output(transformer), plain)


def test_a_call_without_a_noise_level_is_one_line():
    transformer = pipelines.wan_transformer()
    warp = Warp(np.arange(5.0), np.zeros(5), flat(1.0), "none")
    with warp.applied([wan_rope(transformer)]):
        with pytest.raises(SpfError, match="no noise level"):
            transformer.rope(torch.zeros(1, 12, 5, 4, 6))
        with pytest.raises(SpfError, match="'timestep'"):
            transformer(torch.zeros(1, 12, 5, 4, 6), torch.zeros(1), torch.zeros(1, 7, 32))


def test_folders_are_saved_where_they_should(generators):
    """The miniatures are loaded by the adapters' own loader, from safetensors."""
    folder = Path(generators("i2v").path)
    assert (folder / "model_index.json").is_file()
    assert not list(folder.rglob("*.bin"))
    assert len(list(folder.glob("transformer*/*.safetensors"))) == 2
