"""The adapters' contract, through diffusers and on the shipped sampler's protocol; bad input."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pipelines
import pytest
from adapters import FIRST, LAST, asked, index, one_line

from spf.errors import ConfigError, SpfError, UnavailableError
from spf.generators.tiny.adapter import FILES, WEIGHTS, TinyGenerator
from spf.generators.wan import Wan22
from spf.pacing.warp import Warp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


def test_frames_and_sizes_that_cannot_be_made_are_said(wan):
    first, last = (x[:, :40] for x in pipelines.frames(32, 48))
    clip = wan.generate(asked(first=first, last=last, num_frames=6))
    assert clip.frames.shape == (9, 32, 48, 3)
    assert clip.notes == [
        "9 frames instead of 6: wan22 makes 4n + 1",
        "frames resized from 40x32 to 48x32",
    ]
    assert len(wan.clock(asked(num_frames=6)).positions) == 3
    sized = Wan22(path=wan.path, device="cpu", size=[16, 32])
    sized.__dict__["pipeline"] = wan.pipeline
    assert sized.generate(asked()).frames.shape == (9, 16, 32, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last": LAST[:16]}, "differ in size .48x32 and 48x16"),
        ({"first": FIRST / 255}, "first frame must be"),
        ({"last": LAST[..., :1]}, "last frame must be"),
        ({"first": FIRST[:0], "last": LAST[:0]}, "first frame must be"),
        ({"num_frames": 8.5}, "num_frames=8.5"),
        ({"steps": 0}, "steps=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 10**30}, "seed=1000"),
        ({"seed": None}, "seed=None"),
        ({"fps": 0}, "fps=0"),
        ({"fps": 10**400}, "fps=1000"),
        ({"guidance": float("nan")}, "guidance=nan"),
        ({"prompt": 3}, "prompt=3"),
        ({"negative_prompt": ["blue"]}, "negative_prompt="),
    ],
)
def test_impossible_requests(change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        asked(**change)
    one_line(caught)


def test_ti2v_refuses_a_last_frame_before_it_looks_for_weights(tmp_path):
    for generator in (Wan22("ti2v"), Wan22(path=index(tmp_path, expand_timesteps=True))):
        with pytest.raises(ConfigError, match="first frame only") as caught:
            generator.generate(asked())
        one_line(caught)


def test_what_needs_a_last_frame_says_so():
    with pytest.raises(ConfigError, match="first and a last") as caught:
        TinyGenerator().generate(asked(last=None))
    one_line(caught)


def test_not_a_number_in_the_latents_ends_it(wan):
    """Also in the second expert, at low noise, and under a warp; the model stays usable."""
    plain = wan.generate(asked()).frames
    warp = Warp.from_time_map(wan.clock(asked()), np.arange(9.0))
    for expert, step in ((wan.pipeline.transformer, 1), (wan.pipeline.transformer_2, 2)):
        kept = expert.proj_out.bias.detach().clone()
        with torch.no_grad():
            expert.proj_out.bias.fill_(float("nan"))
        with pytest.raises(SpfError, match=f"after step {step} of 2 latents are not") as caught:
            wan.generate(asked(), warp)
        one_line(caught)
        with torch.no_grad():
            expert.proj_out.bias.copy_(kept)
    np.testing.assert_array_equal(wan.generate(asked()).frames, plain)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory.\nTried"), MemoryError(), RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory")],
)  # fmt: skip
def test_running_out_of_memory_is_one_line(wan, error):
    def full(*unused: Any) -> None:
        raise error

    handle = wan.pipeline.vae.decoder.register_forward_hook(full)
    try:
        with pytest.raises(SpfError, match="out of memory while generating") as caught:
            wan.generate(asked())
    finally:
        handle.remove()
    one_line(caught)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["gone", "empty", "cut"])
def test_each_file_of_the_weights_is_looked_for(name, damage, tmp_path):
    shutil.copytree(WEIGHTS, tmp_path, dirs_exist_ok=True)
    file = tmp_path / name
    kept = {"gone": b"", "empty": b"", "cut": file.read_bytes()[:-5]}[damage]
    file.unlink()
    if damage != "gone":
        file.write_bytes(kept)
    model = TinyGenerator(path=str(tmp_path))
    fault = "is not there" if damage == "gone" else "cannot be read"
    for act in (model.check, model.identity, lambda: model.size, lambda: model.clock(asked())):
        with pytest.raises(UnavailableError, match=f"{file} {fault}.*; model.path needs") as caught:
            act()
        one_line(caught)
        assert caught.value.exit_code == 3


def test_what_tiny_passes_over_is_said(tiny_weights):
    resized, silent = TinyGenerator(path=str(tiny_weights)).generate(asked()).notes[::-1]
    assert resized == "frames resized from 48x32 to 32x32"
    assert "prompt is passed over" in silent
