"""What runs on which GPU: the published generators, and the memory that each takes, computed.

The figures come from numbers of parameters and from `spf.generators.memory`, never from a run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spf.generators import load_generator
from spf.generators.loading import QUANTIZATIONS
from spf.generators.memory import GIB, MARGIN, estimate
from spf.generators.weights import MODEL_REPOSITORIES

if TYPE_CHECKING:
    from spf.generators.pipeline import DiffusersGenerator

BFLOAT16, Q4_0 = 2.0, 0.5625
"""Bytes a weight: as published, and of that GGUF, a scale of 2 bytes for 32 weights of 4 bits."""
BNB4 = QUANTIZATIONS["bnb4"][0]

CAPTION = (
    "Computed, not measured: GiB of GPU memory of a clip by default, in bfloat16, tiling=true;",
    "with any offloading, all weights lie in main memory, which must hold them.",
)

GPUS = (8, 12, 16, 24, 32, 48, 80)
"""GiB of GPUs that people have."""


WAYS = {
    "all on the GPU": ("none", BFLOAT16, BFLOAT16),
    "offload=model": ("model", BFLOAT16, BFLOAT16),
    "quantize=bnb4 offload=model": ("model", BNB4, BNB4),
    "offload=group": ("group", BFLOAT16, BFLOAT16),
    "gguf (Q4_0) offload=group": ("group", Q4_0, BFLOAT16),
}
"""Settings that save memory -> offload, bytes a weight of transformers and of text encoders."""
MEMORY = ("model", "weights GB", "clip", *WAYS, "smallest GPU")
DEFAULTS = ("frames", "fps", "steps", "guidance", "flow_shift")


def defaults_table() -> list[str]:
    """Lines of a table in Markdown: where each generator comes from, and its settings by default;
    an empty flow_shift grows with the clip."""
    rows = []
    for name, size, generator in _generators():
        own = {x: setting.value for x, setting in generator.own_settings().items()}
        own["frames"] = own["num_frames"]
        values = ["" if own[x] is None else f"{own[x]:g}" for x in DEFAULTS]
        repo = generator.repository.repo
        rows.append([name, f"[{repo}](https://huggingface.co/{repo})", *values, size])
    return _markdown(("model", "repository", *DEFAULTS, "size"), rows, 2)


def memory_table() -> list[str]:
    """Lines of a table in Markdown: GiB of GPU memory of one clip by default, in bfloat16, its
    video decoded in tiles; and the smallest GPU that has a quarter more than the least of them."""
    rows = []
    for name, size, generator in _generators():
        needed = [_bytes(generator, *way) / GIB for way in WAYS.values()]
        least = MARGIN * min(needed)
        fits = next((f"{gpu} GB" for gpu in GPUS if least <= gpu), f"above {GPUS[-1]} GB")
        weights = f"{2 * generator.repository.billions:.0f}"
        clip = f"{generator.defaults.num_frames} x {size}"
        rows.append([name, weights, clip, *(f"{need:.1f}" for need in needed), fits])
    return _markdown(MEMORY, rows, 1)


def _generators() -> "Iterator[tuple[str, str, DiffusersGenerator]]":
    """Name and size, as tables show them, and each variant of each generator."""
    for name, variants in MODEL_REPOSITORIES.items():
        for variant in variants:
            made: Any = load_generator(name, variant=variant, device="cpu", dtype="bfloat16")
            height, width = made.native_size
            yield f"`{name}` {variant}", f"{width}x{height}", made


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """left : columns of text; those after them are numbers."""
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def _bytes(generator: "DiffusersGenerator", offload: str, transformer: float, text: float) -> int:
    parts = generator.repository.parts
    load = generator.workload({name: round(1e9 * size) for name, size in parts.items()})
    width = dict(load.width)
    for kind, size in (("transformer", transformer), ("text_encoder", text)):
        if size != BFLOAT16:
            width |= {name: size for name in parts if name.startswith(kind)}
    load = replace(load, width=width, on_gpu=True, tiling=True, offload=offload)
    return estimate(load).device
