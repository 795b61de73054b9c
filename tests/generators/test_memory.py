"""What a clip takes: the formula by hand, against tensors that are counted, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import live
import psutil
import pytest
from adapters import one_line

from spf.errors import UnavailableError
from spf.generators import memory
from spf.generators.ltx2 import Ltx2
from spf.generators.ltxv import LtxVideo
from spf.generators.memory import GIB, MARGIN, Decoder, Dims, Memory, Workload
from spf.generators.wan import Wan22
from spf.generators.wan21 import Wan21

torch = pytest.importorskip("torch")

BY_HAND = Workload(
    {"transformer": 1000, "transformer_2": 2000, "text_encoder": 500, "vae": 100},
    {"": 2, "vae": 4, "transformer": 0.5},
    Dims(16, 2, 64, 4, (4, 16, 16), Decoder(10.0, 2.0, (16, 16))),
    size=(32, 48),
    num_frames=9,
    decoded=4,
)


def test_by_hand() -> None:
    """3 latents of 2 x 3 tokens; weights 500, 4000, 1000, 400 bytes."""
    held = 16 * (5 * 2)
    denoising = 18 * (held + max(2 * 64 * 2, 12 * 16, 5 * 16 * 2))
    decoding = 4 * ((10 + 2 * 9) * 32 * 48 + 6 * 9 * 32 * 48)
    assert (denoising, decoding) == (7488, 503808)
    reserve = memory.RESERVE
    assert memory.estimate(BY_HAND) == Memory(5900, 7488, 503808, 5900 + 503808 + reserve, 0)
    for change, device in (
        ({"offload": "model"}, 400 + 503808),
        ({"offload": "sequential"}, 503808),
        ({"offload": "model", "tiling": True}, 400 + 4 * 14 * 9 * 32 * 48),
        ({"tiling": True, "size": (16, 16)}, 5900 + 4 * 14 * 9 * 256),
        ({"attention": "math"}, 5900 + 503808),
    ):
        need = memory.estimate(replace(BY_HAND, **change))
        assert need.device == device + reserve, change
        assert need.main == (0 if "offload" not in change else 5900)
    quadratic = replace(BY_HAND, attention="math", batch=2, given=1)
    assert memory.estimate(quadratic).denoising == 2 * (24 * 416 + 8 * 2 * 24**2)
    assert memory.estimate(replace(BY_HAND, on_gpu=False)).main == 5900 + 503808
    unknown = memory.estimate(replace(BY_HAND, dims=None))
    assert (unknown.weights, unknown.denoising, unknown.decoding) == (5900, 0, 0)


def wan_run(variant: str, tokens_of: tuple[int, int, int]) -> tuple[Any, Any]:
    """A Wan transformer of full width on meta, two of its blocks (all, where control blocks lie
    beside them), and its call for some latents."""
    from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

    frames, height, width = tokens_of
    control = variant.startswith("vace")
    config = (Wan21 if control else Wan22)(variant).repository.published["transformer"]
    channels = {"ti2v": 48, "i2v": 36}.get(variant, 16)
    kind = WanVACETransformer3DModel if control else WanTransformer3DModel
    config = {**config, "in_channels": channels, "out_channels": 16}
    model = kind(**(config if control else {**config, "num_layers": 2}))
    model.to(torch.bfloat16).rope.float()
    count = frames * height * width
    inputs = {
        "hidden_states": torch.empty(1, channels, frames, 2 * height, 2 * width).bfloat16(),
        "timestep": torch.empty(1, count) if variant == "ti2v" else torch.empty(1),
        "encoder_hidden_states": torch.empty(1, 512, 4096).bfloat16(),
    }
    if control:
        shape = (1, 96, *inputs["hidden_states"].shape[2:])
        inputs["control_hidden_states"] = torch.empty(shape).bfloat16()
    return model, lambda: model(**inputs)


def ltx2_run(variant: str, tokens_of: tuple[int, int, int]) -> tuple[Any, Any]:
    from diffusers import LTX2VideoTransformer3DModel

    frames, height, width = tokens_of
    model = LTX2VideoTransformer3DModel(num_layers=2, rope_type=variant).to(torch.bfloat16)
    count, sound = (frames + 1) * height * width, 126  # the last frame's tokens are appended
    text = torch.empty(2, 1024, 3840).bfloat16()
    inputs = {
        "hidden_states": torch.empty(2, count, 128).bfloat16(),
        "audio_hidden_states": torch.empty(2, sound, 128).bfloat16(),
        "encoder_hidden_states": text,
        "audio_encoder_hidden_states": text,
        "timestep": torch.empty(2, count),
        "video_coords": torch.empty(2, 3, count, 2),
        "audio_coords": torch.empty(2, 1, sound, 2),
        **dict.fromkeys(("audio_timestep", "sigma", "audio_sigma"), torch.empty(2)),
        **{"num_frames": frames, "height": height, "width": width, "audio_num_frames": sound},
    }
    return model, lambda: model(**inputs, fps=24.0)


def ltxv_run(variant: str, tokens_of: tuple[int, int, int]) -> tuple[Any, Any]:
    from diffusers import LTXVideoTransformer3DModel

    frames, height, width = tokens_of
    config = {**LtxVideo(variant).repository.published["transformer"], "num_layers": 2}
    wide = config["num_attention_heads"] * config["attention_head_dim"]
    model = LTXVideoTransformer3DModel(**config, cross_attention_dim=wide).to(torch.bfloat16)
    count = (frames + 1) * height * width
    inputs = {
        "hidden_states": torch.empty(2, count, 128).bfloat16(),
        "encoder_hidden_states": torch.empty(2, 256, 4096).bfloat16(),
        "timestep": torch.empty(2, count),
        "encoder_attention_mask": torch.empty(2, 256),
        "video_coords": torch.empty(2, 3, count),
        **{"num_frames": frames, "height": height, "width": width},
    }
    return model, lambda: model(**inputs)


RUNS = {Wan21: wan_run, Wan22: wan_run, Ltx2: ltx2_run, LtxVideo: ltxv_run}


@pytest.mark.parametrize(
    ("made", "variant", "size", "frames"),
    [
        (LtxVideo, "0.9.5", (512, 768), 121),
        (Wan22, "i2v", (480, 832), 81),
        (Wan22, "ti2v", (704, 1280), 121),
        (Wan21, "vace-1.3b", (480, 832), 81),
        (Wan21, "vace-14b", (480, 832), 81),
        (Ltx2, "split", (512, 768), 121),
        (Ltx2, "interleaved", (512, 768), 121),
    ],
)
def test_denoising_agrees_with_the_tensors_of_full_size(
    made: Any, variant: str, size: tuple[int, int], frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = made(None if made is Ltx2 else variant, size=size, device="cpu", dtype="bfloat16")
    load = replace(generator.workload({}), num_frames=frames)
    latents = (frames - 1) // generator.factor + 1, *(x // generator.multiple for x in size)
    linear = lambda query, key, value, **more: torch.empty_like(query)  # noqa: E731
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", linear)
    with torch.device("meta"):
        model, run = RUNS[made](variant, latents)
        counted = live.peak(model, run)
    assert 1 / MARGIN < memory.estimate(load).denoising / counted < MARGIN


@pytest.mark.parametrize("tiling", [False, True])
@pytest.mark.parametrize(
    ("made", "variant", "size"),
    [(Wan22, "i2v", (256, 448)), (Wan22, "ti2v", (256, 448)), (Ltx2, None, (1024, 1536))],
)
def test_decoding_agrees_with_the_tensors_of_full_size(
    made: Any, variant: str | None, size: tuple[int, int], tiling: bool
) -> None:
    import diffusers

    frames = 5 if tiling and made is Wan22 else 33  # it goes latent by latent in each tile
    generator = made(variant, size=size, num_frames=frames, device="cpu", dtype="bfloat16")
    load = replace(generator.workload({}), tiling=tiling)
    config = dict(generator.repository.published["vae"])
    kind = getattr(diffusers, config.pop("_class_name"))
    channels, scale = 128, 32
    if made is Wan22:
        channels, scale = (48, 16) if variant == "ti2v" else (16, 8)
        config |= {"latents_mean": [0.0] * channels, "latents_std": [1.0] * channels}
        config |= {"z_dim": channels}
        if variant == "ti2v":
            config |= {"in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16}
    else:
        config |= {"spatial_compression_ratio": 32, "temporal_compression_ratio": 8}
    kept = torch.float32 if load.decoded == 4 else torch.bfloat16
    with torch.device("meta"):
        vae = kind(**config).to(kept)
        if tiling:
            vae.enable_tiling()
        latents = (load.num_frames - 1) // generator.factor + 1
        z = torch.empty(1, channels, latents, size[0] // scale, size[1] // scale, dtype=kept)
        counted = live.peak(vae, lambda: vae.decode(z, return_dict=False))
    assert 1 / MARGIN < memory.estimate(load).decoding / counted < MARGIN


def test_a_miniature_takes_what_is_estimated(wan: Any) -> None:
    """Real tensors, float32, on the CPU: sizes from the folder's own config.json."""
    load = wan.workload({})
    assert load.dims is not None
    assert (load.dims.width, load.dims.heads, load.dims.feed_forward) == (64, 2, 64)
    load = replace(load, size=(128, 192), num_frames=9)
    latents = torch.zeros(1, 12, 3, 16, 24)
    text = torch.zeros(1, 8, 32)
    model = wan.pipeline.transformer
    counted = live.peak(model, lambda: model(latents, torch.zeros(1), text))
    assert 1 / MARGIN < memory.estimate(load).denoising / counted < MARGIN


@pytest.mark.parametrize(
    ("free", "remedy"),
    [
        (70, "use model.tiling=true"),
        (45, "use model.offload=model"),
        (6, "use model.offload=group model.tiling=true"),
        (3, "use model.offload=sequential model.tiling=true num_frames=37"),
        (0.6, "use a larger machine"),
    ],
)
def test_a_gpu_that_is_too_small_is_refused_with_what_fits(
    free: float, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wan2.2 I2V: two transformers of 14.3 billion parameters and a text encoder of 5.7."""
    generator = Wan22(device="cpu", dtype="bfloat16")
    counts = {name: round(1e9 * x) for name, x in generator.repository.parts.items()}
    load = replace(generator.workload(counts), on_gpu=True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * GIB, 140 * GIB))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=128 * GIB))
    makes = lambda count: (count - 1) // 4 * 4 + 1  # noqa: E731
    with pytest.raises(UnavailableError) as caught:
        memory.check_memory("wan22", load, "cuda:0", makes=makes)
    one_line(caught)
    assert caught.value.exit_code == 3
    assert f"{free:.1f} GiB are free; {remedy}" in str(caught.value)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * GIB, 140 * GIB))
    memory.check_memory("wan22", load, "cuda:0", makes=makes)
