"""Requests and settings that cannot be, and what goes wrong while a clip is generated."""

import shutil
from typing import Any

import numpy as np
import pipelines
import pytest
from adapters import FIRST, LAST, asked, index
from clips import refused
from miniatures import sharing

from spf.errors import SpfError, UnavailableError
from spf.generators.framepack import FramePack
from spf.generators.ltx2 import Ltx2
from spf.generators.ltxv import LtxVideo
from spf.generators.skyreels import SkyReels
from spf.generators.tiny.adapter import FILES, WEIGHTS, TinyGenerator
from spf.generators.wan import Wan22
from spf.generators.wan21 import Wan21
from spf.pacing.warp import Warp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


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
    ({"negative_prompt": ["blue"]}, "negative_prompt="),
])  # fmt: skip
def test_impossible_requests(change, message):
    with refused(message):
        asked(**change)


SIZE = r"size=.* must be \[height, width\] in pixels, 1 to 4096 each"


@pytest.mark.parametrize(("kind", "settings", "message"), [
    (Wan22, {"variant": "nope"}, "unknown variant"),
    (Wan22, {"dtype": "float8"}, "unknown dtype"),
    (Wan22, {"flow_shift": 0}, "flow_shift=0 must be a number above 0"),
    (Wan22, {"boundary_ratio": 1.5}, "from 0 to 1"),
    (Wan22, {"guidance_scale_2": "high"}, "guidance_scale_2='high'"),
    (Wan22, {"variant": "ti2v", "guidance_scale_2": 3.0}, "one expert"),
    (Wan22, {"variant": "ti2v", "boundary_ratio": 0.5}, "one expert"),
    (Wan22, {"num_frames": 10**9}, "num_frames=.* from 2 to 262144"),
    (Wan22, {"fps": 1e-300}, "fps=1e-300 must be a number from 0.001 to 1000"),
    *((Wan22, {"size": size}, SIZE) for size in (5, [480], [480, "832"], [10**5] * 2)),
    (Wan22, {"negative_prompt": 3}, "negative_prompt=3 must be text"),
    (Wan22, {"area": 0}, "area=0 must be a whole number, at least 1"),
    (Wan22, {"area": 255}, "smaller than one latent; 16x16"),
    (Ltx2, {"warp_audio": "maybe"}, "warp_audio='maybe' must be true or false"),
    (Ltx2, {"crf": 52}, "from 0 to 51"),
    (Ltx2, {"stg_scale": float("nan")}, "stg_scale=nan"),
    (LtxVideo, {"decode_timestep": 1.5}, "model.decode_timestep=1.5 must be a number"),
    (LtxVideo, {"image_cond_noise_scale": True}, "_scale=True must be a number"),
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
    """Also in the second expert, at low noise, and under a warp; the model can go on."""
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
def test_running_out_of_memory_is_one_line(wan, error):
    def full(*unused: Any) -> None:
        raise error

    handle = wan.pipeline.vae.decoder.register_forward_hook(full)
    try:
        with refused("out of memory while generating", SpfError):
            wan.generate(asked())
    finally:
        handle.remove()


@pytest.mark.parametrize("name", FILES)
def test_each_file_of_tinys_weights_is_looked_for(name, tmp_path):
    shutil.copytree(WEIGHTS, tmp_path, dirs_exist_ok=True)
    file, model = tmp_path / name, TinyGenerator(path=str(tmp_path))
    file.write_bytes(file.read_bytes()[:-5])
    for fault in ("cannot be read", "is not there"):
        for act in (model.check, model.identity, lambda: model.size, lambda: model.clock(asked())):
            with refused(f"{file} {fault}.*; model.path needs", UnavailableError):
                act()
        file.unlink(missing_ok=True)
