"""How much memory a clip will take, from plain numbers, before anything is loaded.

Inference has three stages: texts and images are encoded, latents are denoised, the video is
decoded. With N tokens of w channels, b bytes a number, f channels inside the feed-forward layer:

    denoising  batch N (w (held b + 4 held_float) + max(2 f b, 12 w, 5 w b)) + scores
    scores     0 by kernels of linear memory (flash, SDPA's), 8 heads N^2 by the "math" kernel
    decoding   b max(P (pixels of a tile) + 4 T pixels, joining T pixels), or
               without tiles b (P + 6 T) pixels
    P          per_pixel + T per_frame, of `Decoder`

No layer's activations outlive it without gradients, so that blocks do not multiply them. The three
terms of the maximum are the feed-forward layer before and after its activation, three vectors in
float32 (norms and residuals), and queries, keys, values, and their rotation. Encoding is taken to
need weights alone. The largest stage decides, each with the weights that its offloading leaves on
the device. What a block and a decoder hold was counted in diffusers 0.42 by running them on torch's
device `meta`, at full size without data: the formula is within `MARGIN` of that count for Wan,
LTX-2 and LTX-Video (tests/generators/test_memory.py has no such count of FramePack). The driver's
context, the allocator's fragments and workspaces of convolutions come on top (`RESERVE`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from spf.errors import UnavailableError

GIB = 2**30
MARGIN = 1.25
"""Factor within which the formula agrees with the tensors that are alive."""
RESERVE = GIB // 2
"""Bytes of a GPU that are no tensor's."""
BLOCKWISE = ("sequential", "group")
"""Offloading that holds about a block of a transformer on the device."""
MATH = "math"


@dataclass(frozen=True)
class Decoder:
    """What decoding holds: numbers for each pixel of the video, at once.

    per_pixel : whatever the length (decoders that go latent by latent). per_frame : for each frame
    (those that take the whole clip). tile : (height, width) pixels of a tile where it is tiled.
    joining : for each frame while tiles are put together.
    """

    per_pixel: float
    per_frame: float
    tile: tuple[int, int]
    joining: float = 14.0


@dataclass(frozen=True)
class Dims:
    """What of an architecture decides how much memory a clip takes.

    token : (frames, height, width) of the video in a token; the first frame has a latent of its
    own. held : vectors of `width` channels a token that live beside the layer that runs;
    held_float : those in float32.
    """

    width: int
    heads: int
    feed_forward: int
    blocks: int
    token: tuple[int, int, int]
    decoder: Decoder
    held: int = 5
    held_float: int = 0


@dataclass(frozen=True)
class Workload:
    """A clip, and how it will be generated.

    parameters : numbers of them, by component; the names of transformers begin with "transformer",
    that of the decoder is "vae". width : bytes of a parameter by component, and "" for the others.
    size : (height, width) in pixels. activation : bytes of a number that is computed; decoded : of
    those in the decoder. attention : the kernel; only "math" is quadratic. batch : clips in one
    call, 2 where the unguided one goes along. appended : latents of the request's frames that
    follow to the clip's own.
    """

    parameters: Mapping[str, int]
    width: Mapping[str, float]
    dims: Dims | None = None
    size: tuple[int, int] = (0, 0)
    num_frames: int = 1
    activation: int = 2
    decoded: int = 2
    offload: str = "none"
    tiling: bool = False
    attention: str = "flash"
    batch: int = 1
    appended: int = 0
    on_gpu: bool = True


@dataclass(frozen=True)
class Memory:
    """Bytes: of all weights, of activations while denoising and decoding, and what the largest
    stage takes on the device and in main memory."""

    weights: int
    denoising: int
    decoding: int
    device: int
    main: int


def tokens(load: Workload, dims: Dims) -> int:
    """Tokens that the transformer sees of one clip."""
    frames, height, width = dims.token
    latents = (load.num_frames - 1) // frames + 1 + load.appended
    return latents * math.ceil(load.size[0] / height) * math.ceil(load.size[1] / width)


def estimate(load: Workload) -> Memory:
    """The memory of a workload; where its dims are not known, of its weights alone."""
    sizes = {
        name: round(count * load.width.get(name, load.width[""]))
        for name, count in load.parameters.items()
    }
    denoising = 0 if load.dims is None else _denoising(load, load.dims)
    decoding = 0 if load.dims is None else _decoding(load, load.dims.decoder)
    weights = sum(sizes.values())
    if load.offload == "none":
        peak = weights + max(denoising, decoding)
    else:
        parts = sizes
        if load.offload in BLOCKWISE:
            blocks = load.dims.blocks if load.dims else 1
            parts = {n: s // blocks if n.startswith("transformer") else 0 for n, s in sizes.items()}
            parts["vae"] = sizes.get("vae", 0) if load.offload == "group" else 0
        transformer = max((s for n, s in parts.items() if n.startswith("transformer")), default=0)
        beside = parts["vae"] if load.offload == "group" else 0
        stages = [beside + transformer + denoising, parts.get("vae", 0) + decoding]
        peak = max(*stages, *parts.values())
    if not load.on_gpu:
        return Memory(weights, denoising, decoding, 0, weights + max(denoising, decoding))
    main = 0 if load.offload == "none" else weights
    return Memory(weights, denoising, decoding, peak + RESERVE, main)


def _denoising(load: Workload, dims: Dims) -> int:
    count, b, w = tokens(load, dims), load.activation, dims.width
    layer = max(2 * dims.feed_forward * b, 12 * w, 5 * w * b)
    scores = 8 * dims.heads * count * count if load.attention == MATH else 0
    held = w * (dims.held * b + 4 * dims.held_float)
    return load.batch * (count * (held + layer) + scores)


def _decoding(load: Workload, decoder: Decoder) -> int:
    pixels = load.size[0] * load.size[1]
    alive = decoder.per_pixel + decoder.per_frame * load.num_frames
    video = load.num_frames * pixels
    if not load.tiling:
        return round(load.decoded * (alive * pixels + 6 * video))
    tile = min(decoder.tile[0], load.size[0]) * min(decoder.tile[1], load.size[1])
    return round(load.decoded * max(alive * tile + 4 * video, decoder.joining * video))


def check_memory(
    name: str,
    load: Workload,
    device: str,
    group: str = "model",
    makes: Callable[[int], int] = lambda count: count,
) -> None:
    """Raises UnavailableError, with settings that would make it fit, for a workload that does not
    fit into what is free. group : of the settings. makes : the number of frames, at most so many,
    that the model can make."""
    import psutil

    need, room = estimate(load), Memory(0, 0, 0, 0, psutil.virtual_memory().available)
    if load.on_gpu:
        import torch

        room = replace(room, device=torch.cuda.mem_get_info(device)[0])
    fits = lambda one: one.device <= room.device and one.main <= room.main  # noqa: E731
    if fits(need):
        return
    gpu = need.device > room.device
    size, free = (need.device, room.device) if gpu else (need.main, room.main)
    raise UnavailableError(
        f"{group}={name}: about {size / GIB:.1f} GiB of {'GPU ' * gpu}memory are needed "
        f"({described(need)}), {free / GIB:.1f} GiB are free; "
        + _remedy(load, fits, makes).replace("model.", f"{group}.")
    )


def described(need: Memory) -> str:
    parts = {"weights": need.weights, "denoising": need.denoising, "decoding": need.decoding}
    return ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())


def _remedy(load: Workload, fits: Callable[[Memory], bool], makes: Callable[[int], int]) -> str:
    """The settings with which a workload fits, those that cost least first."""
    height, width = load.size
    shares = (1.0, 0.75, 0.5, 0.25)
    offloads = ("", "model", "group", "sequential") if load.on_gpu else ("",)
    tilings = (False, True) if load.dims is not None else (False,)
    for shrink, share, offload, tiling in product(shares, shares, offloads, tilings):
        frames = load.num_frames if share == 1.0 else makes(round(load.num_frames * share))
        settings = {
            f"model.offload={offload}": offload,
            "model.tiling=true": tiling,
            f"model.area={round(height * width * shrink)}": shrink < 1.0,
            f"num_frames={frames}": frames < load.num_frames,
        }
        smaller = replace(
            load,
            size=(round(height * math.sqrt(shrink)), round(width * math.sqrt(shrink))),
            num_frames=frames,
            offload=offload or load.offload,
            tiling=tiling or load.tiling,
        )
        if any(settings.values()) and fits(estimate(smaller)):
            return f"use {' '.join(name for name, used in settings.items() if used)}"
    return "use a larger machine, or a smaller or quantised variant"


def dims_of(
    transformer: Mapping[str, Any], vae: Mapping[str, Any], token: tuple[int, int, int]
) -> Dims | None:
    """The dims that a transformer's and a decoder's config.json describe, as diffusers writes them;
    None where they miss what is needed."""
    decoder = DECODERS.get(str(vae.get("_class_name")))
    try:
        heads = int(transformer["num_attention_heads"])
        width = heads * int(transformer["attention_head_dim"])
        ratio = transformer.get("mlp_ratio", 4.0)
        return Dims(
            width=width,
            heads=heads,
            feed_forward=int(transformer.get("ffn_dim", ratio * width)),
            blocks=int(transformer["num_layers"]) + int(transformer.get("num_single_layers", 0)),
            token=token,
            decoder=decoder(vae) if decoder else Decoder(0, 0, (0, 0)),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _wan_decoder(config: Mapping[str, Any]) -> Decoder:
    channels = config.get("decoder_base_dim") or config["base_dim"]
    patch = config.get("patch_size") or 1
    alive = 84 if config.get("is_residual") else 51
    return Decoder(alive * channels / patch**2, 0.0, (256, 256))


def _ltx_decoder(config: Mapping[str, Any]) -> Decoder:
    channels = config["decoder_block_out_channels"][0] / 2
    alive = 5.4 if config["_class_name"] == "AutoencoderKLLTX2Video" else 6.3
    return Decoder(0.0, alive * channels / config.get("patch_size", 4) ** 2, (512, 512), 9.0)


def _hunyuan_decoder(config: Mapping[str, Any]) -> Decoder:
    """16 frames at once; each attends to all of them with a mask of its own size."""
    return Decoder(152.0 * config.get("block_out_channels", (128,))[0], 0.0, (256, 256))


DECODERS: dict[str, Callable[[Mapping[str, Any]], Decoder]] = {
    "AutoencoderKLWan": _wan_decoder,
    "AutoencoderKLLTX2Video": _ltx_decoder,
    "AutoencoderKLLTXVideo": _ltx_decoder,
    "AutoencoderKLHunyuanVideo": _hunyuan_decoder,
}
"""Class of a decoder -> its config.json -> what it holds."""
