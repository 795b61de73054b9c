"""Settings that decide pacing: that they act, whose they are, what is refused; sizes by area."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import harness
import miniatures
import numpy as np
import pytest
import warping
from adapters import asked, one_line

from benchmarks.harness import commandline, session
from spf.errors import ConfigError
from spf.generators import MAKERS
from spf.generators.base import fitted
from spf.generators.framepack import FramePack
from spf.generators.ltx2 import Ltx2
from spf.generators.settings import PUBLISHED, SET, STORED
from spf.generators.wan import Wan22

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


def like(generator: Any, **settings: Any) -> Any:
    """The adapter with other settings, on the same loaded pipeline."""
    made: Any = miniatures.adapter(generator.case, Path(generator.path), **settings)
    made.__dict__["pipeline"] = generator.pipeline
    return made


def levels(generator: Any, **more: Any) -> list[tuple[str, float]]:
    """(transformer, noise level) of each call while a clip is generated."""
    seen: list[tuple[str, float]] = []
    handles = []
    for name in ("transformer", "transformer_2"):
        model = getattr(generator.pipeline, name, None)
        if model is not None:

            def note(module: Any, inputs: Any, given: Any, name: str = name) -> None:
                time = given["sigma"] if "sigma" in given else given["timestep"]
                level = float(time.max()) / 1000
                known = generator.pipeline.scheduler.sigmas.numpy()
                assert np.abs(known - level).min() < 2e-3  # what it is told is what is removed
                seen.append((name, level))

            handles.append(model.register_forward_pre_hook(note, with_kwargs=True))
    try:
        generator.generate(warping.asked(generator, **more))
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(seen))


@pytest.mark.parametrize("case", ["i2v", "split", "ltxv"])
def test_a_flow_shift_moves_the_noise_levels_and_leaves_no_trace(adapters, case):
    """s t / (1 + (s - 1) t) of the levels without a shift, before they are stretched to an end."""
    generator = adapters(case)
    before = dict(generator.pipeline.scheduler.config)
    even = [t for _, t in levels(like(generator, flow_shift=1.0), steps=4)]
    for shift in (0.5, 7.0):
        moved = [t for _, t in levels(like(generator, flow_shift=shift), steps=4)]
        expected = [shift * t / (1 + (shift - 1) * t) for t in even]
        np.testing.assert_allclose(moved, expected, atol=2e-3)
    assert dict(generator.pipeline.scheduler.config) == before
    own = [t for _, t in levels(generator, steps=4)]
    told = generator.settings(warping.asked(generator, steps=4))["flow_shift"]
    assert told.source == STORED
    same = [t for _, t in levels(like(generator, flow_shift=told.value), steps=4)]
    np.testing.assert_allclose(own, same, atol=1e-3)


def test_the_second_expert_begins_where_it_is_told(wan):
    for boundary in (0.2, 0.6, 1.0):
        calls = levels(like(wan, boundary_ratio=boundary), steps=6)
        assert len(calls) == 6
        # The pipeline compares levels of whole thousandths.
        assert all((name == "transformer") == (t >= boundary) for name, t in calls)
    assert wan.pipeline.config.boundary_ratio == 0.9
    assert wan.settings(asked())["boundary_ratio"].value == 0.9


def test_the_second_guidance_is_the_first_one_unless_it_is_set(wan):
    plain = wan.generate(asked(guidance=3.0)).frames
    same = like(wan, guidance_scale_2=3.0).generate(asked(guidance=3.0)).frames
    np.testing.assert_array_equal(same, plain)
    other = like(wan, guidance_scale_2=1.0)
    assert (other.generate(asked(guidance=3.0)).frames != plain).any()
    told = [x.settings(asked(guidance=3.0))["guidance_scale_2"].value for x in (wan, other)]
    assert told == [3.0, 1.0]


def test_a_models_default_is_what_a_request_leaves_open(wan):
    wanted = {"num_frames": 5, "steps": 3, "guidance": 2.0, "negative_prompt": "blue", "fps": 9.0}
    clip = wan.generate(asked(**wanted))
    bare = asked(num_frames=None, steps=None)
    by_default = like(wan, **wanted).generate(bare)
    np.testing.assert_array_equal(by_default.frames, clip.frames)
    assert by_default.fps == clip.fps == 9.0
    told = like(wan, **wanted).settings(bare)
    assert {name: told[name].value for name in wanted} == wanted
    assert {told[name].source for name in wanted} == {SET}
    assert like(wan, **wanted).settings(asked(steps=2))["steps"].value == 2  # the request first


def test_given_frames_of_ltx2_are_compressed_as_in_training(adapters):
    ltx2 = adapters("split")
    request = warping.asked(ltx2)
    plain = ltx2.generate(request).frames
    np.testing.assert_array_equal(like(ltx2, crf=33).generate(request).frames, plain)
    assert ltx2.settings(request)["crf"].value == 33
    for change in ({"crf": 0}, {"stg_scale": 0.0}, {"modality_scale": 1.0}, {"motion_speed": 0.5}):
        assert (like(ltx2, **change).generate(request).frames != plain).any(), change


def test_without_weights_values_are_what_the_authors_publish(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    told = Wan22(flow_shift=3.0).settings(asked(num_frames=None, steps=None))
    assert (told["flow_shift"].value, told["flow_shift"].source) == (3.0, SET)
    assert (told["boundary_ratio"].value, told["boundary_ratio"].source) == (0.9, PUBLISHED)
    assert (told["num_frames"].value, told["steps"].value) == (81, 40)
    # 512 x 768 with 121 frames: 17 latents of 16 x 24 tokens, the last frame's among them.
    big = asked(num_frames=121, **dict.fromkeys(("first", "last"), np.zeros((512, 768, 3), "u1")))
    slope = (2.05 - 0.95) / (4096 - 1024)
    expected = math.exp(0.95 + slope * (17 * 16 * 24 - 1024))
    assert Ltx2().settings(big)["flow_shift"].value == pytest.approx(expected, rel=1e-4)
    # FramePack: 9 latents of 9 x 16 tokens a section; at most 7.
    small = asked(**dict.fromkeys(("first", "last"), np.zeros((144, 256, 3), "u1")))
    expected = math.exp(0.5 + 0.65 * (9 * 9 * 16 - 256) / (4096 - 256))
    assert FramePack().settings(small)["flow_shift"].value == pytest.approx(expected, rel=1e-4)
    assert FramePack().settings(big)["flow_shift"].value == 7.0


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (Wan22, {"flow_shift": 0}, "flow_shift=0 must be a number above 0"),
        (Wan22, {"flow_shift": -3.0}, "above 0"),
        (Wan22, {"boundary_ratio": 1.5}, "from 0 to 1"),
        (Wan22, {"guidance_scale_2": "high"}, "guidance_scale_2='high'"),
        (Wan22, {"variant": "ti2v", "guidance_scale_2": 3.0}, "one expert"),
        (Wan22, {"variant": "ti2v", "boundary_ratio": 0.5}, "one expert"),
        (Wan22, {"num_frames": 1}, "num_frames=1"),
        (Wan22, {"negative_prompt": 3}, "negative_prompt=3 must be text"),
        (Wan22, {"area": 0}, "area=0 must be a whole number, at least 1"),
        (Wan22, {"area": 255}, "smaller than one latent; 16x16"),
        (Ltx2, {"area": 1023}, "smaller than one latent; 32x32"),
        (Ltx2, {"crf": 52}, "from 0 to 51"),
        (Ltx2, {"stg_scale": float("nan")}, "stg_scale=nan"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(kind, settings, said):
    with pytest.raises(ConfigError, match=said) as caught:
        kind(device="cpu", **settings).clock(asked())
    one_line(caught)


@pytest.mark.parametrize("multiple", [16, 32])
def test_sizes_keep_below_the_area_and_near_the_shape(multiple):
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
    for size in ((1, 9000), (9000, 1)):
        height, width = fitted(size, 100 * multiple**2, multiple)
        assert sorted((height, width)) == [multiple, 100 * multiple]
        assert (height < width) == (size[0] < size[1])


@pytest.mark.parametrize("embedder", ["histogram", "siglip"])
@pytest.mark.parametrize("model", [name for name in MAKERS if name != "tiny"])
def test_without_weights_the_whole_plan_is_printed(model, embedder, monkeypatch, tmp_path, capsys):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    config = commandline.compose([f"model={model}", f"embedder={embedder}", f"output={tmp_path}"])
    assert commandline.run(config)[0] == 3
    *plan, error = capsys.readouterr().err.splitlines()
    assert max(map(len, plan)) <= 100
    text = " ".join(" ".join(plan).split())
    for said in (
        f"model {model}",
        f"embedder {embedder}",
        f"make weights MODEL={model}",
        "published defaults: num_frames",
        "flow_shift",
        "negative_prompt",
        "at most",
        "memory, estimated",
        "on a GPU in bfloat16",
    ):
        assert said in text, said
    assert f"make weights {'EMBEDDER' if embedder == 'siglip' else 'MODEL'}=" in error
    assert not (tmp_path / "runs").exists()


def test_every_row_has_the_settings_that_took_effect(wan, tmp_path):
    words = ["model=wan22", f"model.path={wan.path}", "model.flow_shift=2.0", "model.area=2048"]
    words += ["benchmark.num_pairs=1", "benchmark.retimes=[none]", "benchmark.steps=2"]
    words += ["benchmark.num_frames=6", "embedder=histogram", "device=cpu"]
    finished = session.run(harness.compose(*words, f"output={tmp_path}"), quiet=True)
    (record,) = finished.results.records
    told = json.loads(record["generator_settings"])
    assert list(told) == sorted(told)
    assert (told["flow_shift"], told["boundary_ratio"], told["num_frames"]) == (2.0, 0.9, 9)
    assert told["size"] == [record["height"], record["width"]]
    assert record["height"] * record["width"] <= 2048
    assert (told["guidance"], told["guidance_scale_2"], told["steps"]) == (3.5, 3.5, 2)
