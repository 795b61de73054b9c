"""What every generator whose weights are files here promises, on its miniature: see
`tests/helpers/miniatures.py`, where a new one is to be added."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import harness
import miniatures
import numpy as np
import pytest
from adapters import one_line
from warping import STEPS, asked, baseline, uneven

from benchmarks.generated.experiment import UNSTEERED
from benchmarks.harness import session
from spf.errors import ConfigError
from spf.generators import settings_of
from spf.generators.base import check_warpable, unwarpable
from spf.generators.loading import LoadOptions
from spf.generators.weights import MODEL_REPOSITORIES
from spf.identity import digest
from spf.pacing.bands import flat
from spf.pacing.generated import retime_generated
from spf.pacing.warp import Warp

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

VISIBLE = 0.5
"""Grey levels (of 255) by which a warped clip differs at least, in the mean."""
ROUNDING = 0.01
"""And by which one may differ whose arithmetic alone is another."""
CHANGES = {
    **{"dtype": "bfloat16", "area": 4096, "num_frames": 17, "fps": 12.5, "steps": 3},
    **{"guidance": 2.5, "negative_prompt": "blue", "flow_shift": 7.0},
}
"""Another value of settings that generators have in common."""
NEUTRAL = ("path", "variant", "device", *(option.name for option in fields(LoadOptions)))
"""Settings that do not change the pixels, or that are tested by themselves."""


@pytest.fixture(params=miniatures.cases())
def generator(request, adapters):
    return adapters(request.param)


@pytest.fixture
def steered(generator):
    """A generator whose clock can be warped."""
    if unwarpable(generator):
        pytest.skip(unwarpable(generator))
    return generator


def about(generator: Any) -> miniatures.Miniature:
    return miniatures.of(generator.case)[1]


def first_only(generator: Any) -> bool:
    return miniatures.of(generator.case)[2] in about(generator).first_only


def hooks(generator: Any) -> int:
    """How many hooks its models and everything in them have."""
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    models = miniatures.transformers(generator)
    return sum(len(getattr(x, kind)) for m in models for x in m.modules() for kind in kinds)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_a_clip_is_made_of_its_request(generator):
    steps: list[tuple[int, int]] = []
    request = asked(generator)
    clip = generator.generate(request, watch=lambda done, total: steps.append((done, total)))
    assert clip.frames.shape == (request.num_frames, *request.first.shape)
    assert clip.frames.dtype == np.uint8
    assert clip.fps == request.fps
    assert len(clip.frames) == round(generator.clock(request).frames[-1]) + 1
    total = steps[-1][1]
    assert total % STEPS == 0  # some generate section by section
    assert steps == [(done, total) for done in range(1, total + 1)]
    np.testing.assert_array_equal(clip.frames, baseline(generator))
    swapped = {"first": request.last, "last": request.first}
    if first_only(generator):
        swapped = {"first": request.first[::-1]}
    changes: dict[str, dict[str, Any]] = {
        "seed": {"seed": 1},
        "prompt": {"prompt": "a dog, running"},
        "negative_prompt": {"negative_prompt": "blue"},
        "guidance": {"guidance": 1.0},
        "steps": {"steps": STEPS + 1},
        "ends": swapped,
    }
    if not first_only(generator):
        changes["last"] = {"last": request.last[::-1]}
    for part, change in changes.items():
        other = generator.generate(asked(generator, **change)).frames
        assert (other != clip.frames).any() == (part not in about(generator).ignores), part


def test_a_last_frame_too_many_or_too_few(generator):
    request = asked(generator)
    other = asked(generator, last=request.first if first_only(generator) else None)
    refused, frames = "", None
    try:
        frames = generator.generate(other).frames  # many models are free to end as they like
    except ConfigError as error:
        refused = str(error)
    assert "\n" not in refused
    assert refused or (not first_only(generator) and (frames != baseline(generator)).any())


@pytest.mark.parametrize("guidance", [None, 1.0])  # with a batch, or a second call, for the prompt
def test_zero_strength_and_identity_are_bit_identical(steered, guidance):
    request = asked(steered, guidance=guidance)
    clock = steered.clock(request)
    plain = steered.generate(request).frames
    still = uneven(steered, flat(0.0))
    assert np.abs(still.shift).max() > 0.01 * (clock.positions[-1] - clock.positions[0])
    identity = np.arange(round(clock.frames[-1]) + 1, dtype=float)
    for warp in (still, Warp.from_time_map(clock, identity, flat(1.0), "none")):
        np.testing.assert_array_equal(steered.generate(request, warp).frames, plain)


def test_a_warp_makes_another_clip_the_same_each_time_and_leaves_no_trace(steered):
    assert hooks(steered) == 0
    one, again = (steered.generate(asked(steered), uneven(steered)).frames for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert difference(one, baseline(steered)) > VISIBLE
    for error in (ValueError, KeyboardInterrupt):

        def stop(step: int, steps: int, error: Any = error) -> None:
            raise error

        with pytest.raises(error):
            steered.generate(asked(steered), uneven(steered), watch=stop)
        assert hooks(steered) == 0
        plain = steered.generate(asked(steered)).frames
        np.testing.assert_array_equal(plain, baseline(steered))


def test_a_uniform_shift_of_all_positions_is_none(steered):
    """Rotary attention knows differences of positions alone."""
    if reason := about(steered).absolute:
        pytest.skip(reason)
    clock = steered.clock(asked(steered))
    spacing = float(np.diff(clock.positions).mean())
    uniform = Warp(
        clock.positions, np.full(len(clock.positions), 0.375 * spacing), flat(1.0), "none"
    )
    moved = steered.generate(asked(steered), uniform).frames
    assert difference(moved, baseline(steered)) < ROUNDING


def test_identity_names_what_determines_the_pixels(generator, tmp_path):
    folder = Path(generator.path)
    known = generator.identity()
    assert json.loads(json.dumps(known)) == known
    assert known == miniatures.adapter(generator.case, folder).identity()
    kind, one = type(generator), about(generator)
    others: dict[str, Any] = {}
    for setting in settings_of(kind):
        if setting == "self" or setting in NEUTRAL:
            continue
        now = getattr(generator, setting, None)
        values = CHANGES | {"size": list(asked(generator).first.shape[1::-1])}
        if isinstance(now, bool):
            values[setting] = not now
        elif isinstance(now, int | float):
            values.setdefault(setting, now + 1)
        values |= one.changes
        assert setting in values, f"{generator.name}: add {setting} to CHANGES of its miniature"
        changed = miniatures.adapter(generator.case, folder, **{setting: values[setting]})
        others[setting] = changed.identity()
    for variant in MODEL_REPOSITORIES.get(generator.name, {}):
        if variant != generator.variant:
            made = miniatures.adapter(generator.case, folder, variant=variant)
            others[f"variant {variant}"] = made.identity()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    edited = next(file for file in sorted(copy.rglob("*config.json")))
    edited.write_text(edited.read_text() + "\n")
    others["files"] = miniatures.adapter(generator.case, copy).identity()
    same = [name for name, other in others.items() if digest(other) == digest(known)]
    assert not same


def test_bad_settings_are_one_line(generator):
    bad = {"variant": "nope", "dtype": "float8", "offload": "disk", "size": [480, "832"]}
    for setting, value in bad.items():
        if setting in settings_of(type(generator)):
            with pytest.raises(ConfigError) as caught:
                miniatures.adapter(generator.case, Path(generator.path), **{setting: value})
            one_line(caught)


def test_a_clock_that_cannot_be_warped_is_said(generator, monkeypatch):
    reason = "its sections know no time"
    monkeypatch.setattr(type(generator), "unwarpable", reason, raising=False)
    refused = pytest.raises(ConfigError, match=f"{generator.name}: its clock .*{reason}")
    with refused as caught:
        check_warpable(generator, generator.clock(asked(generator)))
    one_line(caught)
    request = asked(generator)
    with pytest.raises(ConfigError, match=reason):
        generator.generate(request, uneven(generator))
    with pytest.raises(ConfigError, match=reason):
        retime_generated(generator, request, lambda clip: pytest.fail("measured"), "rope")


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        (("retime=rope",), False),
        (("retime=nearest", "benchmark.retimes=[none,rope_flat]"), False),
        (("retime=flow",), True),
        (("benchmark.retimes=[none,nearest]",), True),
    ],
)
def test_a_benchmark_refuses_to_steer_it_before_any_work(
    words, accepted, tiny_weights, tmp_path, monkeypatch
):
    monkeypatch.setattr("spf.generators.tiny.adapter.TinyGenerator.unwarpable", "no", raising=False)
    config = harness.compose(
        "benchmark=retime_generated", "embedder=histogram", f"model.path={tiny_weights}",
        f"output={tmp_path}", *words,
    )  # fmt: skip
    with nullcontext() if accepted else pytest.raises(ConfigError, match="cannot be warped: no"):
        benchmark: Any = session.build(config)
        assert set(benchmark.strategies) <= set(UNSTEERED)
