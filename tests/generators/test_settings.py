"""Requests and settings: those that cannot be, and that those that decide pacing act."""

import json
import math
import shutil
from contextlib import ExitStack
from unittest.mock import Mock

import harness
import numpy as np
import pipelines
import pytest
import warping
from adapters import FIRST, LAST, asked, calls, empty_hub, index
from clips import refused
from miniatures import sharing

from benchmarks.harness import commandline, session
from spf.errors import SpfError, UnavailableError
from spf.generators import MAKERS
from spf.generators.base import fitted
from spf.generators.framepack import FramePack
from spf.generators.ltx2 import Ltx2
from spf.generators.ltxv import LtxVideo
from spf.generators.settings import PUBLISHED, SET, STORED
from spf.generators.skyreels import SkyReels
from spf.generators.tiny.adapter import FILES, WEIGHTS, TinyGenerator
from spf.generators.wan import Wan22
from spf.generators.wan21 import Wan21
from spf.pacing.warp import Warp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


def levels(generator, **more):
    pipe = generator.pipeline

    def level(named):
        found = float(named["sigma" if "sigma" in named else "timestep"].max()) / 1000
        known = pipe.scheduler.sigmas.numpy()
        assert np.abs(known - found).min() < 2e-3  # what it is told is what is removed
        return found

    models = {x: getattr(pipe, x, None) for x in ("transformer", "transformer_2")}
    with ExitStack() as stack:
        seen = {x: stack.enter_context(calls(y, level)) for x, y in models.items() if y is not None}
        generator.generate(warping.asked(generator, **more))
    return {name: np.array(list(dict.fromkeys(found))) for name, found in seen.items()}


@pytest.mark.parametrize("case", ["i2v", "split", "ltxv", "skyreels"])
def test_a_flow_shift_moves_the_noise_levels_and_leaves_no_trace(adapters, case):
    """s t / (1 + (s - 1) t) of the levels without a shift, before they are stretched to an end."""
    generator = adapters(case)

    def all_levels(shift):
        found = levels(sharing(generator, flow_shift=shift), steps=4, guidance=1.0)
        return np.concatenate(list(found.values()))

    before = dict(generator.pipeline.scheduler.config)
    even = all_levels(1.0)
    for shift in (0.5, 7.0):
        expected = shift * even / (1 + (shift - 1) * even)
        np.testing.assert_allclose(all_levels(shift), expected, atol=2e-3)
    assert dict(generator.pipeline.scheduler.config) == before
    own = generator.settings(warping.asked(generator, steps=4))["flow_shift"]
    np.testing.assert_allclose(all_levels(None), all_levels(own.value), atol=1e-3)
    if case == "skyreels":  # as documented; its stored scheduler has none
        assert (own.value, own.source, before["flow_shift"]) == (5.0, PUBLISHED, 1.0)
    else:
        assert own.source == STORED


def test_the_second_expert_has_its_own_beginning_and_guidance(wan):
    for boundary in (0.2, 0.6, 1.0):
        first, second = levels(sharing(wan, boundary_ratio=boundary), steps=6).values()
        assert len(first) + len(second) == 6
        # The pipeline compares levels of whole thousandths.
        assert (first >= boundary).all()
        assert (second < boundary).all()
    assert wan.pipeline.config.boundary_ratio == 0.9
    assert wan.settings(asked())["boundary_ratio"].value == 0.9
    request = asked(guidance=3.0)
    same, other = (sharing(wan, guidance_scale_2=x) for x in (3.0, 1.0))
    plain = wan.generate(request).frames
    np.testing.assert_array_equal(same.generate(request).frames, plain)
    assert (other.generate(request).frames != plain).any()
    shown = [x.settings(request)["guidance_scale_2"].value for x in (wan, other)]
    assert shown == [3.0, 1.0]


def test_a_models_default_is_what_a_request_leaves_open(wan):
    wanted = {"num_frames": 5, "steps": 3, "guidance": 2.0, "negative_prompt": "blue", "fps": 9.0}
    clip, bare = wan.generate(asked(**wanted)), asked(num_frames=None, steps=None)
    other = sharing(wan, **wanted)
    by_default = other.generate(bare)
    np.testing.assert_array_equal(by_default.frames, clip.frames)
    assert by_default.fps == clip.fps == 9.0
    known = other.settings(bare)
    assert {name: (known[name].value, known[name].source) for name in wanted} == {
        name: (value, SET) for name, value in wanted.items()
    }
    assert other.settings(asked(steps=2))["steps"].value == 2  # the request first


@pytest.mark.parametrize(("case", "same", "changes"), [
    ("split", {"crf": 33}, {"crf": 0, "stg_scale": 0.0, "modality_scale": 1.0}),
    ("split", {}, {"motion_speed": 0.5, "guidance_rescale": 0.0}),
    ("ltxv", {"decode_timestep": 0.05},
     dict.fromkeys(("image_cond_noise_scale", "decode_timestep", "decode_noise_scale"), 0.5)),
])  # fmt: skip
def test_a_models_own_settings_act(case, same, changes, adapters):
    generator = adapters(case)
    request, plain = warping.asked(generator), warping.baseline(generator)
    np.testing.assert_array_equal(sharing(generator, **same).generate(request).frames, plain)
    for name, value in changes.items():
        assert (sharing(generator, **{name: value}).generate(request).frames != plain).any(), name


def test_without_weights_values_are_what_the_authors_publish(monkeypatch, tmp_path):
    empty_hub(monkeypatch, tmp_path)
    found = Wan22(flow_shift=3.0).settings(asked(num_frames=None, steps=None))
    assert (found["flow_shift"].value, found["flow_shift"].source) == (3.0, SET)
    assert (found["boundary_ratio"].value, found["boundary_ratio"].source) == (0.9, PUBLISHED)
    assert (found["num_frames"].value, found["steps"].value) == (81, 40)
    # 512 x 768 with 121 frames: 17 latents of 16 x 24 tokens, the last frame's among them.
    # FramePack: 9 latents of 9 x 16 tokens a section; at most 7.
    for made, size, mu in (
        (Ltx2, (512, 768), 0.95 + 1.1 / 3072 * (17 * 16 * 24 - 1024)),
        (FramePack, (144, 256), 0.5 + 0.65 / 3840 * (9 * 9 * 16 - 256)),
        (FramePack, (512, 768), math.log(7)),
    ):
        blank = np.zeros((*size, 3), np.uint8)
        request = asked(num_frames=121, first=blank, last=blank)
        value = made().settings(request)["flow_shift"].value
        assert value == pytest.approx(math.exp(mu), rel=1e-4)


@pytest.mark.parametrize("multiple", [16, 32])
def test_sizes_stay_below_the_area_and_near_the_shape(multiple):
    assert fitted((3000, 4000), 480 * 832, 16) == (544, 720)
    assert fitted((480, 832), 480 * 832, 16) == (480, 832)
    random = np.random.default_rng(0)
    for _ in range(2000):
        area = int(np.exp(random.uniform(np.log(multiple**2), np.log(2e6))))
        size = tuple(int(x) for x in np.exp(random.uniform(0, np.log(9000), 2)))
        height, width = fitted(size, area, multiple)
        assert height * width <= area
        assert height % multiple == width % multiple == 0
        assert min(height, width) >= multiple
        scale = min(1.0, math.sqrt(area / (size[0] * size[1])))
        shortest = scale * min(size)
        if shortest > 2 * multiple:  # each side moves by less than one multiple
            error = abs(math.log(height / width * size[1] / size[0]))
            assert error <= -math.log(1 - multiple / shortest) + 1e-9
            assert height > scale * size[0] - multiple
            assert width > scale * size[1] - multiple
    longest = 100 * multiple
    assert fitted((1, 9000), 100 * multiple**2, multiple) == (multiple, longest)
    assert fitted((9000, 1), 100 * multiple**2, multiple) == (longest, multiple)


@pytest.mark.parametrize(
    ("model", "embedder"),
    [*((x, "histogram") for x in MAKERS if x != "tiny"), ("wan22", "siglip")],
)
def test_without_weights_the_whole_plan_is_printed(model, embedder, monkeypatch, tmp_path, capsys):
    empty_hub(monkeypatch, tmp_path)
    config = commandline.compose([f"model={model}", f"embedder={embedder}", f"output={tmp_path}"])
    assert commandline.run(config)[0] == 3
    *plan, error = capsys.readouterr().err.splitlines()
    assert max(map(len, plan)) <= 100
    text = " ".join(" ".join(plan).split())
    for part in (
        *(f"model {model}", f"embedder {embedder}", f"make weights MODEL={model}"),
        *("published defaults: num_frames", "flow_shift", "negative_prompt", "at most"),
        *("memory, estimated", "on a GPU in bfloat16"),
    ):
        assert part in text, part
    assert f"make weights {'EMBEDDER' if embedder == 'siglip' else 'MODEL'}=" in error
    assert not (tmp_path / "runs").exists()


def test_every_row_has_the_settings_that_took_effect(wan, tmp_path):
    words = ["model=wan22", f"model.path={wan.path}", "model.flow_shift=2.0", "model.area=2048"]
    words += ["benchmark.num_pairs=1", "benchmark.retimes=[none]", "benchmark.steps=2"]
    words += ["benchmark.num_frames=6", "embedder=histogram", "device=cpu", f"output={tmp_path}"]
    (record,) = session.run(harness.compose(*words), quiet=True).results.records
    found = json.loads(record["generator_settings"])
    assert list(found) == sorted(found)
    assert (found["flow_shift"], found["boundary_ratio"], found["num_frames"]) == (2.0, 0.9, 9)
    assert found["size"] == [record["height"], record["width"]]
    assert record["height"] * record["width"] <= 2048
    assert (found["guidance"], found["guidance_scale_2"], found["steps"]) == (3.5, 3.5, 2)


def test_frames_and_sizes_that_cannot_be_made_are_noted(wan, tiny_weights):
    first, last = (x[:, :40] for x in pipelines.frames(32, 48))
    clip = wan.generate(asked(first=first, last=last, num_frames=6))
    assert clip.frames.shape == (9, 32, 48, 3)
    assert clip.notes == [
        "9 frames instead of 6: wan22 makes 4n + 1",
        "frames resized from 40x32 to 48x32",
    ]
    assert len(wan.clock(asked(num_frames=6)).positions) == 3
    assert sharing(wan, size=[16, 32]).generate(asked()).frames.shape == (9, 16, 32, 3)
    silent, resized = TinyGenerator(str(tiny_weights)).generate(asked()).notes
    assert resized == "frames resized from 48x32 to 32x32"
    assert "prompt is passed over" in silent


@pytest.mark.parametrize(("change", "message"), [
    ({"last": LAST[:16]}, "differ in size .48x32 and 48x16"),
    ({"first": FIRST / 255}, "first frame must be"),
    ({"last": LAST[..., :1]}, "last frame must be"),
    ({"first": FIRST[:0], "last": LAST[:0]}, "first frame must be"),
    ({"num_frames": 8.5}, "num_frames=8.5"),
    ({"steps": 0}, "steps=0"),
    ({"seed": None}, "seed=None"),
    ({"fps": 10**400}, "fps=1000"),
    ({"guidance": float("nan")}, "guidance=nan"),
    ({"prompt": 3}, "prompt=3"),
])  # fmt: skip
def test_impossible_requests(change, message):
    with refused(message):
        asked(**change)


@pytest.mark.parametrize(("kind", "settings", "message"), [
    (Wan22, {"variant": "nope"}, "unknown variant"),
    (Wan22, {"dtype": "float8"}, "unknown dtype"),
    (Wan22, {"flow_shift": 0}, "flow_shift=0 must be a number above 0"),
    (Wan22, {"boundary_ratio": 1.5}, "from 0 to 1"),
    (Wan22, {"variant": "ti2v", "guidance_scale_2": 3.0}, "one expert"),
    (Wan22, {"num_frames": 10**9}, "num_frames=.* from 2 to 262144"),
    (Wan22, {"fps": 1e-300}, "fps=1e-300 must be a number from 0.001 to 1000"),
    (Wan22, {"size": [480]}, r"size=.* must be \[height, width\] in pixels, 1 to 4096 each"),
    (Wan22, {"negative_prompt": 3}, "negative_prompt=3 must be text"),
    (Wan22, {"area": 0}, "area=0 must be a whole number, at least 1"),
    (Wan22, {"area": 255}, "smaller than one latent; 16x16"),
    (Ltx2, {"warp_audio": "maybe"}, "warp_audio='maybe' must be true or false"),
    (Ltx2, {"crf": 52}, "from 0 to 51"),
    (LtxVideo, {"decode_timestep": 1.5}, "model.decode_timestep=1.5 must be a number"),
    (FramePack, {"true_cfg": 0.5}, "model.true_cfg="),
    (FramePack, {"latent_window": 2.5}, "model.latent_window="),
])  # fmt: skip
def test_settings_that_make_no_sense(kind, settings, message):
    with refused(message):
        kind(device="cpu", **settings).clock(asked())


def test_a_last_frame_is_needed_or_refused_before_weights_are_looked_for(tmp_path):
    for generator in (Wan22("ti2v"), Wan22(path=index(tmp_path, expand_timesteps=True))):
        with refused("first frame only"):
            generator.generate(asked())
    for generator in (Wan21("flf2v"), TinyGenerator()):
        with refused("needs a (first and a )?last frame"):
            generator.generate(asked(last=None))
    assert SkyReels().plan(asked(last=None)).last is None


def test_not_a_number_in_the_latents_ends_it(wan):
    plain = wan.generate(asked()).frames
    warp = Warp.from_time_map(wan.clock(asked()), np.arange(9.0))
    for expert, step in ((wan.pipeline.transformer, 1), (wan.pipeline.transformer_2, 2)):
        before = expert.proj_out.bias.data.clone()
        expert.proj_out.bias.data.fill_(float("nan"))
        with refused(f"after step {step} of 2 latents are not", SpfError):
            wan.generate(asked(), warp)
        expert.proj_out.bias.data.copy_(before)
    np.testing.assert_array_equal(wan.generate(asked()).frames, plain)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory.\nTried"), MemoryError(),
     RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")],
)  # fmt: skip
def test_running_out_of_memory_is_one_line(wan, error, monkeypatch):
    monkeypatch.setattr(type(wan.pipeline.vae.decoder), "forward", Mock(side_effect=error))
    with refused("out of memory while generating", SpfError):
        wan.generate(asked())


@pytest.mark.parametrize("name", FILES)
def test_each_file_of_tinys_weights_is_looked_for(name, tmp_path):
    shutil.copytree(WEIGHTS, tmp_path, dirs_exist_ok=True)
    file, model = tmp_path / name, TinyGenerator(path=str(tmp_path))
    file.write_bytes(file.read_bytes()[:-5])
    for fault in ("cannot be used", "is not there"):
        for act in (model.check, model.identity, lambda: model.size, lambda: model.clock(asked())):
            with refused(f"{file} {fault}.*; model.path needs", UnavailableError):
                act()
        file.unlink(missing_ok=True)


SAMPLING = json.loads((WEIGHTS / "sampling.json").read_text())
UNUSABLE = [SAMPLING | {"num_steps": 0}, SAMPLING | {"min_frames": 99}]
UNUSABLE += [SAMPLING | {"num_frames": "24"}, SAMPLING | {"more": 1}, [], None]
UNUSABLE += [
    {name: value for name, value in SAMPLING.items() if name != missing}
    for missing in ("size", "num_frames", "min_frames", "max_frames")
]


@pytest.mark.parametrize("settings", UNUSABLE)
def test_settings_of_tinys_weights_that_say_too_little_or_the_impossible_are_refused(
    settings, tmp_path
):
    shutil.copytree(WEIGHTS, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "sampling.json"
    file.write_text(json.dumps(settings))
    with refused(f"{file} cannot be used .*; model.path needs", UnavailableError):
        TinyGenerator(path=str(tmp_path)).check()
