"""The published generators: where their files are on this machine, and how large they are.

Sizes are read from the headers of the safetensors files, without loading them.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from spf.errors import UnavailableError
from spf.files import write_atomic
from spf.weights import find_snapshot, lock_of, note, read_lock

INDEX = "model_index.json"
WITHOUT_WEIGHTS = ("tokenizer", "tokenizer_2", "scheduler", "processor", "extractor")
"""What the names of a pipeline's components without weights end in."""


@dataclass(frozen=True)
class Repository:
    """A pipeline of the hub, in diffusers' layout.

    parts : billions of parameters by component. published : excerpts of its files by component, ""
    for model_index.json, which count as long as the files are not here. revision : commit; None:
    the newest is fetched, and noted then. patterns : the files that are loaded. pipeline, sources :
    of one that no repository holds whole: its class, and by repository its components and their
    classes; each is a folder there, or the repository itself where it is alone.
    """

    repo: str
    parts: Mapping[str, float]
    published: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    revision: str | None = None
    patterns: tuple[str, ...] = (INDEX, "*/*.json", "*/*.safetensors", "*/*.model", "*/*.txt")
    pipeline: str = ""
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def billions(self) -> float:
        return sum(self.parts.values())

    @property
    def size(self) -> str:
        gigabytes = f"{2 * self.billions:.0f} GB in bfloat16"
        return f"{self.billions:.1f} billion parameters, about {gigabytes}"

    @property
    def lock(self) -> Path:
        return lock_of(self.repo)

    def find(self) -> Path | None:
        """Its folder in the hub's cache, at the pinned commit or the one noted when it was fetched;
        None where there is none. It may be incomplete."""
        if not self.sources:
            return find_snapshot(self.repo, (INDEX,), self.revision)
        folder = self._assembled()
        return folder if (folder / INDEX).is_file() else None

    def wanted(self) -> dict[str, list[str]]:
        """Repository -> patterns of the files that are loaded."""
        if not self.sources:
            return {self.repo: list(self.patterns)}
        endings = ("json", "safetensors", "model", "txt")
        return {
            repo: [f"{_place(x, parts)}*.{ending}" for x in parts for ending in endings]
            for repo, parts in self.sources.items()
        }

    def assemble(self, snapshots: Mapping[str, Path]) -> Path:
        """The folder of the pipeline. Of several repositories: links to the files of their
        snapshots in diffusers' layout, beside those of the first, named by that one's commit."""
        if not self.sources:
            return snapshots[self.repo]
        note(self.lock, revision=snapshots[self.repo].name)
        folder = self._assembled()
        index: dict[str, Any] = {"_class_name": self.pipeline}
        for repo, components in self.sources.items():
            for component, kind in components.items():
                index[component] = kind.split(".")
                (folder / component).mkdir(parents=True, exist_ok=True)
                for file in (snapshots[repo] / _place(component, components)).glob("*"):
                    link = folder / component / file.name
                    link.unlink(missing_ok=True)
                    if file.is_file():
                        link.symlink_to(file)
        write_atomic(folder / INDEX, json.dumps(index, indent=2) + "\n")
        return folder

    def _assembled(self) -> Path:
        return self.lock.parent / "pipeline" / str(read_lock(self.lock).get("revision"))


def _place(component: str, components: Mapping[str, str]) -> str:
    return f"{component}/" if len(components) > 1 else ""


UMT5, GEMMA, T5, CLIP = 5.7, 12.2, 4.8, 0.12
"""Billions of parameters of text encoders: UMT5-XXL, Gemma 3, T5-XXL, CLIP-L."""
WAN = {"num_attention_heads": 40, "attention_head_dim": 128, "num_layers": 40, "ffn_dim": 13824}
WAN_SMALL = WAN | {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960}
WAN_VAE = {"_class_name": "AutoencoderKLWan", "base_dim": 96}
VACE: dict[str, Mapping[str, Any]] = {"vae": WAN_VAE, "scheduler": {"flow_shift": 3.0}}
LTX = {"num_attention_heads": 32, "attention_head_dim": 128, "num_layers": 48}
LTX_VAE = {"decoder_block_out_channels": (256, 512, 1024)}
LTXV: dict[str, Mapping[str, Any]] = {"vae": LTX_VAE | {"_class_name": "AutoencoderKLLTXVideo"}}
LTX2: dict[str, Mapping[str, Any]] = {
    "transformer": LTX,
    "vae": LTX_VAE | {"_class_name": "AutoencoderKLLTX2Video"},
    "scheduler": {"use_dynamic_shifting": True, "base_shift": 0.95, "max_shift": 2.05},
}
FRAMEPACK = {
    "lllyasviel/FramePackI2V_HY": {
        "transformer": "diffusers.HunyuanVideoFramepackTransformer3DModel",
    },
    "hunyuanvideo-community/HunyuanVideo": {
        "vae": "diffusers.AutoencoderKLHunyuanVideo",
        "scheduler": "diffusers.FlowMatchEulerDiscreteScheduler",
        "text_encoder": "transformers.LlamaModel",
        "tokenizer": "transformers.LlamaTokenizerFast",
        "text_encoder_2": "transformers.CLIPTextModel",
        "tokenizer_2": "transformers.CLIPTokenizer",
    },
    "lllyasviel/flux_redux_bfl": {
        "image_encoder": "transformers.SiglipVisionModel",
        "feature_extractor": "transformers.SiglipImageProcessor",
    },
}
"""Its authors publish the transformer alone; the rest is what their own program loads."""


# No commit could be verified when this was written (no network), so none is pinned. The published
# flow shifts are those of the authors' own code (VACE: of its repositories), the sizes those of
# diffusers' conversions.
MODEL_REPOSITORIES: Mapping[str, Mapping[str, Repository]] = {
    "wan22": {
        "i2v": Repository(
            "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
            {"transformer": 14.3, "transformer_2": 14.3, "text_encoder": UMT5, "vae": 0.13},
            {
                "": {"boundary_ratio": 0.9},
                "transformer": WAN,
                "vae": WAN_VAE,
                "scheduler": {"flow_shift": 5.0},
            },
        ),
        "ti2v": Repository(
            "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
            {"transformer": 5.0, "text_encoder": UMT5, "vae": 0.7},
            {
                "": {"expand_timesteps": True},
                "transformer": WAN
                | {"num_attention_heads": 24, "num_layers": 30, "ffn_dim": 14336},
                "vae": WAN_VAE | {"decoder_base_dim": 256, "patch_size": 2, "is_residual": True},
                "scheduler": {"flow_shift": 5.0},
            },
        ),
    },
    "wan21": {
        "vace-1.3b": Repository(
            "Wan-AI/Wan2.1-VACE-1.3B-diffusers",
            {"transformer": 2.15, "text_encoder": UMT5, "vae": 0.13},
            VACE | {"transformer": {**WAN_SMALL, "vace_layers": range(0, 30, 2)}},
        ),
        "vace-14b": Repository(
            "Wan-AI/Wan2.1-VACE-14B-diffusers",
            {"transformer": 17.3, "text_encoder": UMT5, "vae": 0.13},
            VACE | {"transformer": {**WAN, "vace_layers": range(0, 40, 5)}},
        ),
        "flf2v": Repository(
            "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers",
            {"transformer": 16.4, "text_encoder": UMT5, "image_encoder": 0.63, "vae": 0.13},
            {"transformer": WAN, "vae": WAN_VAE, "scheduler": {"flow_shift": 16.0}},
        ),
    },
    "skyreels": {
        size.lower(): Repository(
            f"Skywork/SkyReels-V2-I2V-{size}-Diffusers",
            {"transformer": billions, "text_encoder": UMT5, "image_encoder": 0.63, "vae": 0.13},
            {"transformer": transformer, "vae": WAN_VAE},
        )
        for size, billions, transformer in (
            ("1.3B-540P", 1.56, WAN_SMALL),
            ("14B-540P", 16.4, WAN),
            ("14B-720P", 16.4, WAN),
        )
    },
    "ltx2": {
        name: Repository(repo, {"transformer": 18.9, "text_encoder": GEMMA, "others": 2.0}, LTX2)
        for name, repo in (
            ("v2.0", "Lightricks/LTX-2"),
            ("v2.3", "diffusers/LTX-2.3-Diffusers"),
        )
    },
    "ltxv": {
        name: Repository(
            f"Lightricks/LTX-Video-{repo}",
            {"transformer": billions, "text_encoder": T5, "vae": 1.2},
            LTXV | {"transformer": LTX | {"attention_head_dim": head, "num_layers": layers}},
        )
        for name, repo, billions, head, layers in (
            ("0.9.5", "0.9.5", 1.9, 64, 28),
            ("0.9.7-dev", "0.9.7-dev", 13.0, 128, 48),
            ("0.9.7-distilled", "0.9.7-distilled", 13.0, 128, 48),
            ("0.9.8-distilled", "0.9.8-13B-distilled", 13.0, 128, 48),
        )
    },
    "framepack": {
        "i2v": Repository(
            "lllyasviel/FramePackI2V_HY",
            {"transformer": 12.9, "text_encoder": 7.5, "text_encoder_2": 0.1}
            | {"image_encoder": 0.4, "vae": 0.2},
            {
                "transformer": {"num_attention_heads": 24, "attention_head_dim": 128}
                | {"num_layers": 20, "num_single_layers": 40},
                "vae": {"_class_name": "AutoencoderKLHunyuanVideo"},
                "scheduler": {"use_dynamic_shifting": True},
            },
            pipeline="HunyuanVideoFramepackPipeline",
            sources=FRAMEPACK,
        ),
    },
}
"""Name -> variant -> repository; the first of each is its default."""

STILLS_REPOSITORIES: Mapping[str, Mapping[str, Repository]] = {
    "sdxl": {
        "base": Repository(
            "stabilityai/stable-diffusion-xl-base-1.0",
            {"unet": 2.57, "text_encoder": CLIP, "text_encoder_2": 0.69, "vae": 0.08},
            patterns=(
                *(INDEX, "*/*.json", "*/*.txt", "vae/*.fp16.safetensors"),
                *("text_encoder*/*.fp16.safetensors", "unet/*.fp16.safetensors"),
            ),
        ),
    },
    "flux": {
        variant: Repository(
            f"black-forest-labs/FLUX.1-{variant}",
            {"transformer": 11.9, "text_encoder": CLIP, "text_encoder_2": T5, "vae": 0.08},
        )
        for variant in ("dev", "schnell")
    },
}
"""The same for pipelines that make stills of descriptions."""

REPOSITORIES = {"model": MODEL_REPOSITORIES, "stills": STILLS_REPOSITORIES}
"""Group of options -> its table."""


def read_config(folder: Path, component: str = "") -> dict[str, Any]:
    """The configuration of a component, "" for model_index.json; UnavailableError where none is."""
    places = {"": INDEX, "scheduler": "scheduler/scheduler_config.json"}
    file = folder / places.get(component, f"{component}/config.json")
    try:
        content = json.loads(file.read_text())
        if not isinstance(content, dict):
            raise ValueError("it holds no settings")
    except (OSError, ValueError, RecursionError) as error:
        raise UnavailableError(f"{file}: cannot be read ({error})") from None
    return content


def component_parameters(
    folder: Path, remedy: str, replaced: Collection[str] = ()
) -> dict[str, int]:
    """Numbers of parameters of a pipeline's components that have weights.

    replaced : components whose weights come from elsewhere. Raises UnavailableError, with the
    remedy, where files are missing, damaged or not safetensors: pickled ones are never loaded.
    """
    counts: dict[str, int] = {}
    for name, kind in read_config(folder).items():
        named = isinstance(kind, list) and len(kind) == 2 and all(isinstance(x, str) for x in kind)
        weightless = name in replaced or name.endswith(WITHOUT_WEIGHTS)
        if name.startswith("_") or not named or weightless:
            continue
        counts[name] = sum(_parameters(file) for file in _files(folder / name, remedy))
    return counts


def _files(folder: Path, remedy: str) -> list[Path]:
    """The safetensors files of a component, those that its index names if it has one."""
    wanted: set[str] = set()
    for index in sorted(folder.glob("*.safetensors.index.json")):
        try:
            named = set(json.loads(index.read_text())["weight_map"].values())
            if outside := [name for name in named if Path(name).name != name]:
                raise ValueError(f"{outside[0]!r} lies elsewhere")
            wanted |= named
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UnavailableError(f"{index}: cannot be read ({error}); {remedy}") from None
    files = sorted(folder / name for name in wanted) or plain_files(folder)
    missing = [file for file in files if not file.is_file()]
    if missing:
        many = f"{len(missing)} of {len(files)} files are missing, {missing[0].name} first"
        raise UnavailableError(f"{folder}: {many}; {remedy}")
    if not files:
        raise UnavailableError(f"{folder}: there are no safetensors files; {remedy}")
    return files


def plain_files(folder: Path) -> list[Path]:
    """The safetensors files of a component, without half-precision copies where both are there."""
    files = sorted(folder.glob("*.safetensors"))
    return [file for file in files if ".fp16" not in file.suffixes] or files


def _parameters(file: Path) -> int:
    """Elements of all tensors in a safetensors file, from its header."""
    try:
        with safe_open(file, "numpy") as tensors:
            shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
        return sum(map(math.prod, shapes))
    except (OSError, SafetensorError) as error:
        raise UnavailableError(f"{file}: damaged ({error}); remove it and fetch it again") from None
