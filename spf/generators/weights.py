"""The published generators: where their files are on this machine, and what memory they would take.

Nothing is downloaded here: `scripts/fetch_weights.py` (make weights MODEL=...) does that. Sizes are
read from the headers of the safetensors files, without loading them.
"""

import json
import math
import os
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spf.errors import UnavailableError
from spf.extras import require_extra
from spf.files import write_atomic
from spf.weights import LOCK, cache_folder, note, read_lock

INDEX = "model_index.json"
WITHOUT_WEIGHTS = ("tokenizer", "tokenizer_2", "scheduler", "processor", "extractor")
"""What the names of a pipeline's components without weights end in."""

GIB = 2**30
HEADER = 100_000_000
"""Bytes of a safetensors file's header; its own library reads no longer ones."""
NO_HEADER = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
"""What looking for sizes in a header raises that has none."""


@dataclass(frozen=True)
class Repository:
    """A pipeline of the hub, in diffusers' layout.

    revision : commit; None where none could be verified: the newest is fetched, and noted then.
    billions : of parameters in all components, so that sizes can be told before anything is there.
    patterns : the files that are loaded.
    pipeline, sources : of one that no repository holds whole: its class, and by repository its
    components and their classes; each is a folder there, or the repository itself where it is
    alone.
    """

    repo: str
    billions: float
    revision: str | None = None
    patterns: tuple[str, ...] = (INDEX, "*/*.json", "*/*.safetensors", "*/*.model", "*/*.txt")
    pipeline: str = ""
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def size(self) -> str:
        return (
            f"{self.billions:.1f} billion parameters, about {2 * self.billions:.0f} GB in bfloat16"
        )


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

# No commit could be verified when this was written (no network), so none is pinned. Parameters:
# transformers + text encoder (UMT5-XXL 5.7 billion, Gemma 3 12.2, T5-XXL 4.8) + the small ones.
MODEL_REPOSITORIES: Mapping[str, Mapping[str, Repository]] = {
    "wan22": {
        "i2v": Repository("Wan-AI/Wan2.2-I2V-A14B-Diffusers", 2 * 14.3 + 5.7 + 0.1),
        "flf2v": Repository("Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers", 16.4 + 5.7 + 0.8),
        "ti2v": Repository("Wan-AI/Wan2.2-TI2V-5B-Diffusers", 5.0 + 5.7 + 0.7),
    },
    "ltx2": {
        "v2.0": Repository("Lightricks/LTX-2", 18.9 + 12.2 + 2.0),
        "v2.3": Repository("diffusers/LTX-2.3-Diffusers", 18.9 + 12.2 + 2.0),
    },
    "ltxv": {
        "0.9.5": Repository("Lightricks/LTX-Video-0.9.5", 1.9 + 4.8 + 1.2),
        "0.9.7-dev": Repository("Lightricks/LTX-Video-0.9.7-dev", 13.0 + 4.8 + 1.2),
        "0.9.7-distilled": Repository("Lightricks/LTX-Video-0.9.7-distilled", 13.0 + 4.8 + 1.2),
        "0.9.8-distilled": Repository("Lightricks/LTX-Video-0.9.8-13B-distilled", 13.0 + 4.8 + 1.2),
    },
    "framepack": {
        "i2v": Repository(
            "lllyasviel/FramePackI2V_HY",
            12.9 + 7.5 + 0.1 + 0.4 + 0.2,
            pipeline="HunyuanVideoFramepackPipeline",
            sources=FRAMEPACK,
        ),
    },
}
"""Word -> variant -> repository; the first of each is its default."""


def find_pipeline(name: str, variant: str, path: str | os.PathLike[str] | None) -> Path:
    """The folder that holds a pipeline: `path`, or the hub's cache.

    Raises UnavailableError, in one line with the command, where there is none, or the extra
    generators is not installed.
    """
    require_extra(f"model {name}", "generators")
    repository = MODEL_REPOSITORIES[name][variant]
    if path is not None:
        folder = Path(path)
        if not (folder / INDEX).is_file():
            raise UnavailableError(
                f"model.path={folder}: this is no folder of a pipeline ({INDEX} is not there); "
                f"expected the files of {repository.repo}"
            )
        return folder
    found = cached_folder(repository)
    if found is None:
        raise UnavailableError(
            f"model={name}: weights absent ({repository.repo}, {repository.size}): "
            f"{command(name, variant)}, or model.path=FOLDER"
        )
    return found


def cached_folder(repository: Repository) -> Path | None:
    """A repository's snapshot in the hub's cache, at the pinned commit or the one noted when it was
    fetched; None where there is none. It may be incomplete."""
    from huggingface_hub import try_to_load_from_cache

    if repository.sources:
        assembled = _assembled(repository)
        return assembled if (assembled / INDEX).is_file() else None
    revision = repository.revision or read_lock(lock_of(repository)).get("revision")
    found = try_to_load_from_cache(repository.repo, INDEX, revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def assemble(repository: Repository, snapshots: Mapping[str, Path]) -> Path:
    """The folder of a pipeline made of several repositories (snapshots, by name): links to their
    files in diffusers' layout, beside the snapshots of the first. Its name is that one's commit."""
    note(lock_of(repository), {}, revision=snapshots[repository.repo].name)
    folder = _assembled(repository)
    index: dict[str, Any] = {"_class_name": repository.pipeline}
    for repo, components in repository.sources.items():
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


def source_patterns(components: Mapping[str, str]) -> list[str]:
    """The files of a source that are loaded."""
    endings = ("json", "safetensors", "model", "txt")
    places = [_place(component, components) for component in components]
    return [f"{place}*.{ending}" for place in places for ending in endings]


def _place(component: str, components: Mapping[str, str]) -> str:
    return f"{component}/" if len(components) > 1 else ""


def _assembled(repository: Repository) -> Path:
    lock = lock_of(repository)
    return lock.parent / "pipeline" / str(read_lock(lock).get("revision"))


def lock_of(repository: Repository) -> Path:
    """Where `make weights` notes what it has fetched."""
    return cache_folder() / f"models--{repository.repo.replace('/', '--')}" / LOCK


def words() -> dict[str, list[Repository]]:
    """What `make weights MODEL=` knows: a model's default, and MODEL/VARIANT."""
    found = {name: [next(iter(known.values()))] for name, known in MODEL_REPOSITORIES.items()}
    for name, known in MODEL_REPOSITORIES.items():
        found |= {f"{name}/{variant}": [one] for variant, one in known.items()}
    return found


def command(name: str, variant: str) -> str:
    """What fetches a model."""
    word = name if variant == next(iter(MODEL_REPOSITORIES[name])) else f"{name}/{variant}"
    return f"make weights MODEL={word}"


def pipeline_index(folder: Path) -> dict[str, Any]:
    """What model_index.json says. Raises UnavailableError where it makes no sense."""
    try:
        content = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{folder / INDEX}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise UnavailableError(f"{folder / INDEX}: this describes no pipeline")
    return content


def component_parameters(
    folder: Path, remedy: str, replaced: Collection[str] = ()
) -> dict[str, int]:
    """Numbers of parameters of a pipeline's components that have weights.

    replaced : components whose weights come from elsewhere.

    Raises UnavailableError, naming the files and the remedy, where some are missing, damaged or not
    safetensors: pickled weights are never loaded.
    """
    counts: dict[str, int] = {}
    for name, kind in pipeline_index(folder).items():
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
    files = sorted(folder / name for name in wanted) or sorted(folder.glob("*.safetensors"))
    missing = [file for file in files if not file.is_file()]
    if missing:
        many = f"{len(missing)} of {len(files)} files are missing, {missing[0].name} first"
        raise UnavailableError(f"{folder}: {many}; {remedy}")
    if not files:
        raise UnavailableError(f"{folder}: there are no safetensors files; {remedy}")
    return files


def _parameters(file: Path) -> int:
    """Elements of all tensors in a safetensors file, from its header."""
    try:
        with open(file, "rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(file.stat().st_size, HEADER):
                raise ValueError("the header is longer than the file, or than a header is")
            header = json.loads(stream.read(length))
        tensors = {name: about for name, about in header.items() if name != "__metadata__"}
        end = max((about["data_offsets"][1] for about in tensors.values()), default=0)
        if file.stat().st_size < 8 + length + end:
            raise ValueError("it ends too early")
        return sum(math.prod(about["shape"]) for about in tensors.values())
    except (*NO_HEADER, OSError, struct.error) as error:
        raise UnavailableError(f"{file}: damaged ({error}); remove it and fetch it again") from None


@dataclass(frozen=True)
class Memory:
    """Bytes that the weights alone take: on the device, and in main memory."""

    device: int
    main: int


def memory_needed(
    parameters: Mapping[str, int], width: Mapping[str, float], offload: str, on_gpu: bool
) -> Memory:
    """Memory for the weights of components with these numbers of parameters.

    width : bytes a parameter by component, and "" for the others. offload : "none" all components
    on the device at once, "model" one at a time, "group" single layers beside the VAEs,
    "sequential" single layers; layers are counted as nothing. Activations come on top: they depend
    on frames and size.
    """
    sizes = {x: round(count * width.get(x, width[""])) for x, count in parameters.items()}
    whole = sum(sizes.values())
    if not on_gpu:
        return Memory(0, whole)
    vaes = sum(size for name, size in sizes.items() if name.endswith("vae"))
    largest = max(sizes.values(), default=0)
    device = {"none": whole, "model": largest, "group": vaes, "sequential": 0}[offload]
    return Memory(device, 0 if offload == "none" else whole)


def check_memory(name: str, needed: Memory, device: str, offload: str) -> None:
    """Raises UnavailableError, naming both sizes, where weights do not fit into what is free."""
    import psutil

    if device != "cpu":
        import torch

        free = torch.cuda.mem_get_info(device)[0]
        if needed.device > free:
            remedy = {
                "none": "use model.offload=model",
                "model": "use model.offload=group",
                "group": "use model.offload=sequential",
                "sequential": "use a larger GPU",
            }[offload]
            raise UnavailableError(
                f"model={name}: its weights take {needed.device / GIB:.1f} GiB of GPU memory, "
                f"{free / GIB:.1f} GiB are free; {remedy}"
            )
    free = psutil.virtual_memory().available
    if needed.main > free:
        raise UnavailableError(
            f"model={name}: its weights take {needed.main / GIB:.1f} GiB of memory, "
            f"{free / GIB:.1f} GiB are free; use a machine with more, or a smaller variant"
        )
