"""What every generator promises, on its miniature: a new one joins tests/helpers/miniatures.py."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path

import harness
import miniatures
import numpy as np
import pytest
from clips import refused
from miniatures import hooks, like
from rendered import difference
from warping import STEPS, asked, baseline, uneven

from benchmarks.generated.experiment import UNSTEERED
from benchmarks.harness import session
from spf.errors import ConfigError
from spf.generators import settings_of
from spf.generators.base import unwarpable
from spf.generators.loading import LoadOptions
from spf.generators.weights import MODEL_REPOSITORIES
from spf.identity import digest
from spf.pacing.generated import retime_generated
from spf.pacing.warp import Warp, flat

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

CHANGES = {  # other values of settings that generators have in common
    "dtype": "bfloat16", "area": 4096, "num_frames": 17, "fps": 12.5, "steps": 3,
    "guidance": 2.5, "negative_prompt": "blue", "flow_shift": 7.0,
}  # fmt: skip
# Settings that do not change the pixels, or that are tested by themselves.
NEUTRAL = ("self", "path", "variant", "device", *(option.name for option in fields(LoadOptions)))


@pytest.fixture(params=miniatures.cases())
def generator(request, adapters):
    return adapters(request.param)


def about(generator):
    return miniatures.of(generator.case)[1]


def first_only(generator):
    return miniatures.of(generator.case)[2] in about(generator).first_only


def test_a_clip_is_made_of_its_request(generator):
    steps = []
    request = asked(generator)
    clip = generator.generate(request, on_progress=lambda done, total: steps.append((done, total)))
    assert clip.frames.shape == (request.num_frames, *request.first.shape)
    assert (clip.frames.dtype, clip.fps) == (np.uint8, request.fps)
    assert len(clip.frames) == round(generator.clock(request).frames[-1]) + 1
    total = steps[-1][1]
    assert total % STEPS == 0  # some generate section by section
    assert steps == [(done, total) for done in range(1, total + 1)]
    np.testing.assert_array_equal(clip.frames, baseline(generator))
    changes = {
        "seed": 1, "prompt": "a dog, running", "negative_prompt": "blue", "guidance": 1.0,
        "steps": STEPS + 1, "first": request.first[::-1],
    }  # fmt: skip
    if not first_only(generator):
        changes["last"] = request.last[::-1]
    for part, value in changes.items():
        other = generator.generate(asked(generator, **{part: value})).frames
        assert (other != clip.frames).any() == (part not in about(generator).ignores), part


def test_a_last_frame_too_many_or_too_few(generator):
    last = asked(generator).first if first_only(generator) else None
    try:
        frames = generator.generate(asked(generator, last=last)).frames  # many end as they like
    except ConfigError as error:
        harness.check_one_line(str(error))
    else:
        assert not first_only(generator)
        assert (frames != baseline(generator)).any()


def test_a_warp_acts_exactly_and_leaves_no_trace(generator):
    if reason := unwarpable(generator):
        pytest.skip(reason)
    request, plain = asked(generator), baseline(generator)
    clock, warp, still = generator.clock(request), uneven(generator), uneven(generator, flat(0.0))
    assert np.abs(still.shift).max() > 0.01 * np.ptp(clock.positions)
    identity = np.arange(round(clock.frames[-1]) + 1, dtype=float)
    for same in (still, Warp.from_time_map(clock, identity, flat(1.0), "none")):
        np.testing.assert_array_equal(generator.generate(request, same).frames, plain)
    assert hooks(generator) == 0
    one, again = (generator.generate(request, warp).frames for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert difference(one, plain) > 0.5

    def stop(step, steps):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generator.generate(request, warp, on_progress=stop)
    assert hooks(generator) == 0
    np.testing.assert_array_equal(generator.generate(request).frames, plain)
    if not about(generator).absolute:  # rotary attention knows differences of positions alone
        shift = np.full(len(clock.positions), 0.375 * np.diff(clock.positions).mean())
        uniform = Warp(clock.positions, shift, flat(1.0), "none")
        assert difference(generator.generate(request, uniform).frames, plain) < 0.01


def test_identity_names_what_determines_the_pixels(generator, tmp_path):
    known, changes = generator.identity(), about(generator).changes
    assert json.loads(json.dumps(known)) == known == like(generator).identity()
    others = {}
    for setting in settings_of(type(generator)):
        if setting in NEUTRAL:
            continue
        now = getattr(generator, setting, None)
        values = CHANGES | {"size": list(asked(generator).first.shape[1::-1])}
        if isinstance(now, int | float):
            values.setdefault(setting, not now if isinstance(now, bool) else now + 1)
        others[setting] = like(generator, **{setting: (values | changes)[setting]}).identity()
    for variant in MODEL_REPOSITORIES.get(generator.name, {}):
        if variant != generator.variant:
            others[f"variant {variant}"] = like(generator, variant=variant).identity()
    copy = shutil.copytree(generator.path, tmp_path / "copy")
    edited = next(file for file in sorted(Path(copy).rglob("*config.json")))
    edited.write_text(edited.read_text() + "\n")
    others["files"] = like(generator, copy).identity()
    assert not [name for name, other in others.items() if digest(other) == digest(known)]


@pytest.mark.parametrize("case", ["tiny", "i2v"])
def test_a_clock_that_cannot_be_warped(case, adapters, monkeypatch):
    generator, reason = adapters(case), "its sections know no time"
    monkeypatch.setattr(type(generator), "unwarpable", reason, raising=False)
    request = asked(generator)
    message = f"{generator.name}: its clock cannot be warped: {reason}"
    with refused(message):
        generator.generate(request, uneven(generator))
    with refused(message):
        retime_generated(generator, request, lambda clip: pytest.fail("measured"), "rope")


@pytest.mark.parametrize(("words", "accepted"), [
    (("retime=nearest", "benchmark.retimes=[none,rope_flat]"), False),
    (("retime=flow",), True),
])  # fmt: skip
def test_a_benchmark_refuses_to_steer_it_before_any_work(
    words, accepted, tiny_weights, tmp_path, monkeypatch
):
    monkeypatch.setattr("spf.generators.tiny.adapter.TinyGenerator.unwarpable", "no", raising=False)
    words += (f"model.path={tiny_weights}", f"output={tmp_path}", "embedder=histogram")
    config = harness.compose("benchmark=retime_generated", *words)
    with nullcontext() if accepted else refused("cannot be warped: no"):
        benchmark = session.build(config)
        assert set(benchmark.strategies) <= set(UNSTEERED)
