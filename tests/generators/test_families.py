"""Each frame reaches a model at its own time and follows a warp; what the shipped one promises."""

import itertools
from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import Mock

import generators
import harness
import numpy as np
import oracles
import pipelines
import pytest
from adapters import FIRST, LAST, asked, calls
from clips import refused
from miniatures import sharing
from warping import asked as small
from warping import uneven, watched_tables

from spf.errors import SpfError
from spf.generators.base import Request
from spf.generators.cached import CachedGenerator
from spf.generators.skyreels import SkyReels
from spf.generators.tiny.adapter import TinyGenerator
from spf.generators.tiny.sampling import TinySampler
from spf.pacing.warp import Strength, Warp, flat, gamma
from synthetic.clips import FIRST_HELD_OUT_SEED
from synthetic.morph_pairs import HELD_OUT_PAIRS, KINDS, TRAINING_PAIRS
from synthetic.oracle import RenderOracle
from synthetic.shapes import HELD_OUT_SHAPES

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")
TOKENS = 6  # of a latent of LTX-Video in miniature


@pytest.mark.parametrize("last", [LAST, None])
def test_vace_shows_the_frames_of_a_request_and_makes_the_rest(adapters, monkeypatch, last):
    wan = adapters("wan21/vace-1.3b")
    prepare = Mock(wraps=wan.pipeline.prepare_video_latents)
    monkeypatch.setattr(wan.pipeline, "prepare_video_latents", prepare)
    assert wan.generate(asked(last=last)).frames.shape == (9, 32, 48, 3)
    [((video, mask, references, *_), _)] = prepare.call_args_list
    assert video.shape == (1, 3, 9, 32, 48)  # not transposed
    assert references == [[]]
    shown = {0: FIRST} if last is None else {0: FIRST, 8: last}
    for index in range(9):
        image = shown[index].astype(float) / 127.5 - 1 if index in shown else 0.0
        frame = video[0, :, index].permute(1, 2, 0).double().numpy()
        np.testing.assert_allclose(frame, np.broadcast_to(image, frame.shape), atol=1e-6)
        assert (mask[0, :, index] == (index not in shown)).all()


def test_control_tokens_of_vace_are_warped_with_the_others(adapters):
    wan, tables = adapters("wan21/vace-1.3b"), []
    transformer, request = wan.pipeline.transformer, asked(num_frames=13, steps=1, guidance=1.0)
    with ExitStack() as at_end:
        for block in (*transformer.blocks, *transformer.vace_blocks):
            note = lambda _, inputs: tables.append(inputs[-1][1].clone())  # noqa: E731
            at_end.callback(block.register_forward_pre_hook(note).remove)
        wan.generate(request)
        wan.generate(request, uneven(wan))
    assert len(tables) == 6  # the control block and two others, each once a clip
    for table, like in zip(tables, [tables[0]] * 3 + [tables[3]] * 3, strict=True):
        assert torch.equal(table, like)
    assert not torch.allclose(tables[3], tables[0], atol=0.1)


def test_skyreels_joins_the_tokens_of_both_images(adapters, tmp_path):
    """As a transformer does in diffusers alone that has positions for image tokens, all zero."""
    published = adapters("skyreels")
    folder = pipelines.save_skyreels(tmp_path, pos_embed_seq_len=2 * 5)
    other = SkyReels(path=folder, device="cpu")
    weights = published.pipeline.transformer.state_dict()
    name = "condition_embedder.image_embedder.pos_embed"
    weights[name] = torch.zeros_like(other.pipeline.transformer.state_dict()[name])
    other.pipeline.transformer.load_state_dict(weights)
    wanted = pipelines.loaded(other).generate(asked()).frames
    assert "encode_image" not in vars(other.pipeline)
    np.testing.assert_array_equal(published.generate(asked()).frames, wanted)


@pytest.fixture
def ltxv(adapters):
    return adapters("ltxv")


def steps(generator, request):
    with calls(generator.pipeline.transformer) as seen:
        generator.generate(request)
    return seen


def test_both_frames_reach_the_transformer_at_their_times(ltxv):
    """25 frames at 8 a second: the last one is frame 24, at 3 s; latents begin at 0, 1, 9, 17, and
    stand for the middle of their frames."""
    request = small(ltxv)
    plain = steps(ltxv, request)[0]
    times = plain["video_coords"][0, 0].reshape(-1, TOKENS)
    assert (8 * times).T.tolist() == [[24, 0, 1, 9, 17]] * TOKENS
    levels = plain["timestep"][0].reshape(-1, TOKENS)
    assert levels.T.tolist() == [[0, 0, 1000, 1000, 1000]] * TOKENS
    for name, place in (("last", 0), ("first", 1)):
        changed = steps(ltxv, replace(request, **{name: 255 - getattr(request, name)}))[0]
        moved = (changed["hidden_states"] != plain["hidden_states"]).any(dim=-1)[0]
        assert moved.reshape(-1, TOKENS).any(dim=1).tolist() == [x == place for x in range(5)]
    alone = steps(ltxv, replace(request, last=None))[0]["video_coords"][0, 0]
    assert torch.equal(alone.reshape(-1, TOKENS), times[1:])
    clock = ltxv.clock(request)
    assert clock.frames.tolist() == [0, 4.5, 12.5, 24]
    assert (clock.positions * 8).tolist() == [0, 1, 9, 17]


def test_distilled_models_take_their_own_steps(ltxv):
    distilled = sharing(ltxv, variant="0.9.8-distilled")
    seen = steps(distilled, small(ltxv, steps=None))
    levels = [float(call["timestep"].max()) for call in seen]
    assert levels == pytest.approx([1000, 993, 987, 981, 975, 909, 725, 0.03])
    assert all(len(call["hidden_states"]) == 1 for call in seen)  # no guidance
    clip = distilled.generate(small(ltxv, steps=2))
    assert clip.notes == ["2 steps on the general schedule: 0.9.8-distilled was distilled for 8"]
    assert len(steps(ltxv, small(ltxv))[0]["hidden_states"]) == 2


@pytest.fixture
def framepack(adapters):
    return adapters("framepack")


def sections_of(framepack, count):
    """Calls of the transformer, and the indices under which each latent of the clip is seen."""
    request = small(framepack, num_frames=count * framepack.factor + 1, steps=1)
    options = framepack._call_arguments(framepack.plan(request), None) | {"output_type": "latent"}
    with calls(framepack.pipeline.transformer) as seen:
        latents = framepack.pipeline(**options).frames[-1][0].numpy().swapaxes(0, 1)
    found = [set() for _ in latents]
    for call in seen:
        for kind in ("latents_clean", "latents_history_2x", "latents_history_4x"):
            for index, shown in zip(call[f"indices_{kind}"], call[kind][0].unbind(1), strict=True):
                for times, latent in zip(found, latents, strict=True):
                    if np.array_equal(shown.numpy(), latent):
                        times.add(int(index))
    return seen, found


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_latent_has_its_own_time_wherever_it_appears(framepack, count):
    width = framepack.latent_window
    seen, times = sections_of(framepack, count)
    clock = framepack.clock(small(framepack, num_frames=count * framepack.factor + 1))
    assert clock.positions.tolist() == list(range(len(times)))
    assert not clock.unwarpable
    later = range(width + 1, count * width + 1)  # the first section is made last
    assert times == [{0}, *(set() for _ in range(width)), *({number} for number in later)]
    targets = np.concatenate([call["indices_latents"].numpy() for call in seen[::-1]])
    assert targets.tolist() == list(range(1, len(times)))
    # The last frame of the request stands right after the clip.
    assert seen[0]["indices_latents_clean"].tolist() == [0, len(times)]


def test_beyond_four_sections_times_are_no_clock(framepack):
    seen, times = sections_of(framepack, 5)
    assert any(shown - {number} for number, shown in enumerate(times))
    targets = [tuple(call["indices_latents"].tolist()) for call in seen]
    assert len(set(targets)) == 4  # two of them share theirs
    request = small(framepack, num_frames=5 * framepack.factor + 1)
    assert len(framepack.generate(request).frames) == 41
    assert "more than 4 sections (33 frames)" in framepack.clock(request).unwarpable
    still = Warp(np.arange(11.0), np.zeros(11), flat(1.0), "none")
    with refused("framepack: its clock cannot be warped: of more"):
        framepack.generate(request, still)


@pytest.mark.parametrize("schedule", ["none", "exp_up"])
def test_tables_equal_direct_recomputation(framepack, schedule):
    warp = uneven(framepack, Strength(0.3, 0.9, 2.0), schedule)
    seen = watched_tables(framepack, warp)
    sizes = {len(inputs[0]) for _, inputs, *_ in seen}
    assert sizes == {framepack.latent_window, 2, 16}  # section, ends and half rate, quarter
    bands = pipelines.TEMPORAL // 2
    for _, (indices, height, width, _), cos, sin, level in seen:
        index = indices.numpy().astype(float)
        shift = np.interp(index, warp.positions, warp.shift)
        assert (shift[(index == 0) | (index >= 6)] == 0).all()  # ends, and what is not there yet
        strength = [oracles.alpha(b, bands, 0.3, 0.9, 2.0) for b in range(bands)]
        strength = np.array(strength) * float(gamma(schedule, np.array(level)))
        positions = index[:, None] + strength * shift[:, None]
        spatial = (pipelines.HEAD - pipelines.TEMPORAL) // 2
        dims = (pipelines.TEMPORAL, spatial, spatial)
        angles = oracles.axes_angles(positions, height // 2, width // 2, dims, 256.0)
        np.testing.assert_allclose(cos, np.cos(angles), atol=5e-6)
        np.testing.assert_allclose(sin, np.sin(angles), atol=5e-6)


def test_the_negative_prompt_counts_under_true_guidance(framepack):
    guided = sharing(framepack, true_cfg=4.0)
    one, other = (guided.generate(small(guided, negative_prompt=x)).frames for x in ("", "blue"))
    assert (one != other).any()
    assert (one != framepack.generate(small(framepack, negative_prompt="")).frames).any()


SIZE = (32, 32)


@pytest.mark.usefixtures("one_thread")
def test_clips_have_the_ends_asked_for_and_depend_on_the_seed_alone():
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
