"""How a pipeline of diffusers is loaded: LoRAs, quantised weights, offloading, tiles, compilation.

Each option is checked against the pipeline's configuration before weights are read, by diffusers'
own conversion of names.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spf.errors import ConfigError, UnavailableError
from spf.generators.weights import INDEX, pipeline_index
from spf.weights import LOCK, sha256_of
from spf.words import choose

EXPERTS = {"high": "transformer", "low": "transformer_2"}
"""Expert for high or low noise -> component; a model without experts has the first alone."""
OFFLOADS = ("none", "model", "group", "sequential")


@dataclass(frozen=True)
class Quantization:
    """Weights of matrices in fewer bits.

    width : bytes a weight, scales included. package : module that it needs, "" for none.
    text : whether it serves for the text encoder too.
    """

    width: float
    package: str
    text: bool


QUANTIZATIONS: Mapping[str, Quantization] = {
    "fp8": Quantization(1.0, "", text=False),
    "bnb4": Quantization(0.5 + 4 / 64, "bitsandbytes", text=True),  # a float32 scale for 64 weights
    "bnb8": Quantization(1.0, "bitsandbytes", text=True),
    "torchao_int8": Quantization(1.0, "torchao", text=True),
}
ATTENTIONS: Mapping[str, str] = {
    "native": "",
    "_native_math": "",
    "_native_efficient": "",
    "_native_flash": "",
    "_native_cudnn": "",
    "flex": "",
    "flash": "flash_attn",
    "_flash_3": "flash_attn_3",
    "sage": "sageattention",
    "xformers": "xformers",
}
"""diffusers' names of kernels -> package. Those that it would download are left out."""
DISTRIBUTIONS = {"flash_attn": "flash-attn", "flash_attn_3": "flash-attn-3"}
LAYER = re.compile(r"(.+)\.(?:lora[._]|lokr_)(A|B|down|up|\w+)\b")
"""Module and factor of a LoRA's tensor."""
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError),
    *(AssertionError, OverflowError, MemoryError),
)
"""What reading a damaged or foreign file raises."""


@dataclass(frozen=True)
class Lora:
    """A low-rank change of weights. expert : high, low, or both, which serves where there are no
    experts too. Raises ConfigError for files that are not safetensors."""

    file: Path
    weight: float = 1.0
    expert: str = "both"

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", _path("lora", self.file, ".safetensors"))
        weight = self.weight
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight == weight:
            raise ConfigError(f"model.lora: weight={weight!r} of {self.file} must be a number")
        choose(str(self.expert), ("both", *EXPERTS), "expert of model.lora")


@dataclass(frozen=True, eq=False)
class LoadOptions:
    """Options of loading; see docs/how-to/small-gpus.md for what each saves.

    lora : a safetensors file, or a list of files or of {file, weight, expert}. gguf : the quantised
    transformer as a GGUF file; for two experts [HIGH, LOW]. quantize : a key of `QUANTIZATIONS`:
    transformers and text encoder are quantised while they are read (fp8: the transformers alone);
    what comes from a GGUF file stays as it is. offload : none, model (one component at a time on
    the GPU), group (layers, the next one fetched while one computes), sequential (single layers).
    tiling, slicing : of the VAE. compile : the transformer's blocks. attention : a key of
    `ATTENTIONS`, None leaves it to diffusers.

    Raises ConfigError, in one line, for values and combinations that cannot be.
    """

    lora: Any = None
    gguf: Any = None
    quantize: str | None = None
    offload: str = "none"
    tiling: bool = False
    slicing: bool = False
    compile: bool = False
    attention: str | None = None

    def __post_init__(self) -> None:
        choose(str(self.offload), OFFLOADS, "offload")
        if self.quantize is not None:
            choose(str(self.quantize), QUANTIZATIONS, "quantize")
        if self.attention is not None:
            choose(str(self.attention), ATTENTIONS, "attention")
        for name in ("tiling", "slicing", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"model.{name}={getattr(self, name)!r} must be true or false")
        _ = self.loras, self.files  # which are validated as they are made
        if self._package == "bitsandbytes" and self.offload not in ("none", "model"):
            raise ConfigError(
                f"model.quantize={self.quantize}: bitsandbytes' layers cannot be moved singly; "
                "use model.offload=model, or model.gguf"
            )
        if self.compile and self.offload == "sequential":
            raise ConfigError(
                "model.compile=true: compiled blocks cannot be moved layer by layer; use "
                "model.offload=group or model"
            )

    @cached_property
    def loras(self) -> tuple[Lora, ...]:
        entries = [] if self.lora is None else self.lora
        entries = [entries] if isinstance(entries, str | Path | Mapping) else entries
        if not isinstance(entries, Sequence):
            raise ConfigError(f"model.lora={self.lora!r} must be a file, or a list of files")
        made = []
        for entry in entries:
            settings = dict(entry) if isinstance(entry, Mapping) else {"file": entry}
            if "file" not in settings or not settings.keys() <= {"file", "weight", "expert"}:
                raise ConfigError(f"model.lora: {entry!r} must have a file, and weight and expert")
            made.append(Lora(**settings))
        return tuple(made)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The GGUF files in the order of `EXPERTS`."""
        entries = [] if self.gguf is None else self.gguf
        entries = [entries] if isinstance(entries, str | Path) else entries
        if not isinstance(entries, Sequence) or len(entries) > len(EXPERTS):
            raise ConfigError(f"model.gguf={self.gguf!r} must be a file, or [HIGH, LOW]")
        return tuple(_path("gguf", entry, ".gguf") for entry in entries)

    @property
    def replaced(self) -> tuple[str, ...]:
        """Components that come from GGUF files: the folder need not hold their weights."""
        return tuple(EXPERTS.values())[: len(self.files)]

    @property
    def notes(self) -> list[str]:
        """A line for each option that changes what the model makes."""
        lines = [
            f"LoRA {x.file.name} with weight {x.weight:g}"
            + ("" if x.expert == "both" else f" in the expert for {x.expert} noise")
            for x in self.loras
        ]
        lines += [f"{part} from {x.name}" for part, x in zip(self.replaced, self.files, strict=True)]
        lines += [f"weights quantised by {self.quantize}"] if self.quantize else []
        lines += [f"attention by {self.attention}"] if self.attention else []
        return lines + (["the VAE works in tiles"] if self.tiling else [])

    def identity(self) -> dict[str, Any]:
        """What changes the pixels: offloading and slices do not. Raises ConfigError for files that
        are absent."""
        return {
            "lora": [[_sha256("lora", x.file), x.weight, x.expert] for x in self.loras],
            "gguf": [_sha256("gguf", file) for file in self.files],
            "quantize": self.quantize,
            "attention": self.attention,
            "tiling": self.tiling,
            "compile": self.compile,
        }

    def packages(self) -> list[str]:
        """Distributions whose versions the pixels depend on."""
        extra = (("peft", self.loras), ("gguf", self.files), (self._package, self._package))
        return [name for name, used in extra if used]

    def widths(self) -> dict[str, float]:
        """Bytes a weight of the components that are quantised.

        GGUF: of its weights together. Otherwise of the matrices: embeddings and norms, which stay
        as they are, take more; a text encoder's are about a tenth of its weights.
        """
        found = {
            part: sum(x.n_bytes for x in tensors.values()) / sum(
                x.n_elements for x in tensors.values()
            )
            for part, tensors in self._tensors.items()
        }
        if self.quantize:
            found |= dict.fromkeys(self._quantized, QUANTIZATIONS[self.quantize].width)
        return found

    def parameters(self) -> dict[str, int]:
        """Numbers of weights in the components that come from GGUF files."""
        tensors = self._tensors.items()
        return {part: sum(int(x.n_elements) for x in found.values()) for part, found in tensors}

    def check(self, folder: Path, pipeline: Callable[[], Any], device: str) -> None:
        """Whether the options can be applied here and to the pipeline of a folder. Nothing of it is
        loaded.

        pipeline : gives its class, which is imported only where a LoRA is to be compared with it.

        Raises UnavailableError where a package or a GPU is missing, ConfigError for files that are
        absent, damaged or made for another model.
        """
        needs = [("lora", "peft")] * bool(self.loras) + [("gguf", "gguf")] * bool(self.files)
        needs += [("quantize", self._package), ("attention", ATTENTIONS[self.attention or "native"])]
        for option, package in needs:
            if package and find_spec(package) is None:
                install = f"pip install {DISTRIBUTIONS.get(package, package)}"
                raise UnavailableError(f"model.{option} needs the package {package}: {install}")
        if self._package == "bitsandbytes" and device == "cpu":
            raise UnavailableError(
                f"model.quantize={self.quantize} needs a GPU; use model.gguf, or quantize=fp8"
            )
        experts = _experts(folder)
        if self.files and len(self.files) != len(experts):
            wanted = "[HIGH, LOW], a file for each expert" if len(experts) > 1 else "one file"
            raise ConfigError(f"model.gguf: this model needs {wanted}; {len(self.files)} were given")
        for part, file in zip(self.replaced, self.files, strict=True):
            _check_gguf(file, self._tensors[part], folder, part)
        for lora in self.loras:
            for part in _targets(lora, experts):
                _check_lora(lora, pipeline(), folder, part)

    def load(self, folder: Path, pipeline: Any, dtypes: dict[str, Any], device: str) -> Any:
        """The pipeline (an object of that class) with all options applied, on its device.

        dtypes : torch's by component, and of the others as "default".
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dtypes given for parts that are not there
            pipe = pipeline.from_pretrained(
                folder,
                torch_dtype=dtypes,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                quantization_config=self._quantizer(folder, dtypes["default"]),
                **self._from_gguf(folder, dtypes["default"]),
            )
        pipe.set_progress_bar_config(disable=True)
        transformers = {part: getattr(pipe, part) for part in _experts(folder)}
        for part, transformer in transformers.items():
            if self.quantize == "fp8" and part not in self.replaced:
                transformer.enable_layerwise_casting(compute_dtype=dtypes["default"])
            if self.attention:
                _use_attention(transformer, self.attention)
        self._add_loras(pipe, transformers)
        if self.tiling:
            pipe.vae.enable_tiling()
        if self.slicing:
            pipe.vae.enable_slicing()
        _place(pipe, self.offload, device)
        for transformer in transformers.values() if self.compile else ():
            transformer.compile_repeated_blocks()  # the rope stays outside: it can still be warped
        return pipe

    # Behind it

    @property
    def _package(self) -> str:
        return QUANTIZATIONS[self.quantize].package if self.quantize else ""

    @property
    def _quantized(self) -> list[str]:
        """Components that `quantize` concerns."""
        assert self.quantize
        text = ["text_encoder"] if QUANTIZATIONS[self.quantize].text else []
        return [part for part in EXPERTS.values() if part not in self.replaced] + text

    @cached_property
    def _tensors(self) -> dict[str, dict[str, Any]]:
        """Component -> name -> the header of each tensor in its GGUF file."""
        return {
            part: _gguf_tensors(file) for part, file in zip(self.replaced, self.files, strict=True)
        }

    def _from_gguf(self, folder: Path, dtype: Any) -> dict[str, Any]:
        if not self.files:
            return {}
        from diffusers import GGUFQuantizationConfig

        return {
            part: _kind(folder, part).from_single_file(
                str(file),
                config=str(folder / part),
                quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
                torch_dtype=dtype,
                local_files_only=True,
            )
            for part, file in zip(self.replaced, self.files, strict=True)
        }

    def _quantizer(self, folder: Path, dtype: Any) -> Any:
        """diffusers' configuration of what is quantised on the way in; None for nothing."""
        if not self._package:
            return None
        import diffusers
        import transformers

        def config(library: Any) -> Any:
            if self.quantize == "torchao_int8":
                from torchao.quantization import Int8WeightOnlyConfig

                return library.TorchAoConfig(Int8WeightOnlyConfig())
            if self.quantize == "bnb8":
                return library.BitsAndBytesConfig(load_in_8bit=True)
            return library.BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
            )

        present = pipeline_index(folder)
        parts = [part for part in self._quantized if (present.get(part) or [None])[0]]
        return diffusers.PipelineQuantizationConfig(
            quant_mapping={
                part: config(transformers if part == "text_encoder" else diffusers)
                for part in parts
            }
        )

    def _add_loras(self, pipe: Any, transformers: Mapping[str, Any]) -> None:
        weights: dict[str, dict[str, float]] = {part: {} for part in transformers}
        for number, lora in enumerate(self.loras):
            for part in _targets(lora, list(transformers)):
                into = {"load_into_transformer_2": True} if part == EXPERTS["low"] else {}
                pipe.load_lora_weights(**_local(lora), adapter_name=f"lora{number}", **into)
                weights[part][f"lora{number}"] = float(lora.weight)
        for part, named in weights.items():
            if named:
                transformers[part].set_adapters(list(named), list(named.values()))


def _path(option: str, value: Any, ending: str) -> Path:
    if not isinstance(value, str | Path) or Path(value).suffix != ending:
        raise ConfigError(
            f"model.{option}={value}: only {ending} files are loaded; "
            "pickled weights can run code, convert them"
        )
    return Path(value)


def _sha256(option: str, file: Path) -> str:
    try:
        return sha256_of(file, file.parent / LOCK)
    except OSError:
        raise ConfigError(f"model.{option}={file}: there is no such file") from None


def _experts(folder: Path) -> list[str]:
    """The transformers of a pipeline."""
    index = pipeline_index(folder) if (folder / INDEX).is_file() else {}
    return [part for part in EXPERTS.values() if (index.get(part) or [None])[0]]


def _targets(lora: Lora, experts: Sequence[str]) -> list[str]:
    """Components that a LoRA changes. Raises ConfigError where the model has no such expert."""
    if lora.expert == "both":
        return list(experts)
    if len(experts) < 2:
        raise ConfigError(f"model.lora: expert={lora.expert}, but this model has no experts")
    return [EXPERTS[lora.expert]]


def _local(lora: Lora) -> dict[str, Any]:
    """Arguments by which diffusers reads this file, and nothing else."""
    return {
        "pretrained_model_name_or_path_or_dict": str(lora.file.parent),
        "weight_name": lora.file.name,
        "use_safetensors": True,
        "local_files_only": True,
    }


def _kind(folder: Path, part: str) -> Any:
    """The class of a transformer. Raises UnavailableError where diffusers has none of that name."""
    import diffusers

    name = str(pipeline_index(folder)[part][1])
    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.ModelMixin)):
        raise UnavailableError(f"{folder / INDEX}: diffusers has no model {name}; update diffusers")
    return kind


def _shapes(folder: Path, part: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a transformer's weights, from its configuration alone."""
    from accelerate import init_empty_weights

    kind = _kind(folder, part)
    try:
        with init_empty_weights():
            model = kind.from_config(kind.load_config(folder / part, local_files_only=True))
    except UNREADABLE as error:
        raise UnavailableError(f"{folder / part}: cannot be read ({_one_line(error)})") from None
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


def _check_lora(lora: Lora, pipeline: Any, folder: Path, part: str) -> None:
    if not lora.file.is_file():
        raise ConfigError(f"model.lora={lora.file}: there is no such file")
    from safetensors import SafetensorError

    try:
        state = pipeline.lora_state_dict(**_local(lora))
    except (*UNREADABLE, SafetensorError) as error:
        reason = _one_line(error)
        raise ConfigError(
            f"model.lora={lora.file}: damaged, or made for another model ({reason})"
        ) from None
    shapes = _shapes(folder, part)
    loadable = [name for name in pipeline._lora_loadable_modules if name not in EXPERTS.values()]
    layers: dict[str, bool] = {}
    for key, value in state.items():
        if key.partition(".")[0] in loadable:
            continue
        found = LAYER.match(key.removeprefix("transformer."))
        module, factor = found.groups() if found else (key, "")
        expected = shapes.get(f"{module}.weight") if key.startswith("transformer.") else None
        axis = {"A": 1, "down": 1, "B": 0, "up": 0}.get(factor)
        fits = expected is not None and (axis is None or value.shape[axis] == expected[axis])
        layers[module] = layers.get(module, True) and fits
    wrong = [module for module, fits in layers.items() if not fits]
    if wrong or not layers:
        many = f"{len(wrong)} of {len(layers)} layers do not fit {part}"
        first = f", {wrong[0]} first" if wrong else ""
        raise ConfigError(
            f"model.lora={lora.file}: made for another model ({many}{first}); use one for this one"
        )


def _gguf_tensors(file: Path) -> dict[str, Any]:
    """The header of each tensor in a GGUF file; its weights are not read."""
    if not file.is_file():
        raise ConfigError(f"model.gguf={file}: there is no such file")
    import gguf

    try:
        tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    except UNREADABLE as error:
        raise ConfigError(f"model.gguf={file}: damaged ({_one_line(error)})") from None
    if not tensors:
        raise ConfigError(f"model.gguf={file}: this file has no weights")
    return tensors


def _check_gguf(file: Path, tensors: Mapping[str, Any], folder: Path, part: str) -> None:
    """Raises ConfigError where diffusers would not find each of the model's weights in the file."""
    import torch
    from diffusers.loaders import single_file_model
    from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES, UNQUANTIZED_TYPES

    known = {*SUPPORTED_GGUF_QUANT_TYPES, *UNQUANTIZED_TYPES}
    if other := {x.tensor_type.name for x in tensors.values() if x.tensor_type not in known}:
        raise ConfigError(f"model.gguf={file}: diffusers cannot read {min(other)}; use Q4_K_M, Q8_0")
    expected = _shapes(folder, part)
    found = {  # without their content
        name: torch.empty(tuple(map(int, reversed(x.shape))), device="meta")
        for name, x in tensors.items()
    }
    kind = single_file_model._get_single_file_loadable_mapping_class(_kind(folder, part))
    if kind is None:
        raise ConfigError(f"model.gguf: diffusers reads no such files for {_kind(folder, part)}")
    if found.keys() != expected.keys():
        convert = single_file_model.SINGLE_FILE_LOADABLE_CLASSES[kind]["checkpoint_mapping_fn"]
        try:
            found = convert(checkpoint=found)
        except UNREADABLE:
            found = {}
    wrong = [
        name for name, shape in expected.items() if name not in found or found[name].shape != shape
    ]
    if wrong:
        raise ConfigError(
            f"model.gguf={file}: made for another architecture ({len(wrong)} of {len(expected)} "
            f"weights of {part} are not in it, {wrong[0]} first); use one for this model"
        )


def _use_attention(transformer: Any, name: str) -> None:
    """Set the kernel of one model; diffusers would set it for all in this process too."""
    from diffusers import attention_backend

    with attention_backend(name):
        transformer.set_attention_backend(name)


def _place(pipe: Any, offload: str, device: str) -> None:
    """Bring a pipeline to where it computes.

    In groups, the VAEs stay on the device: they are called by other methods than `forward`, which
    no hook sees.
    """
    import torch

    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    elif offload == "group":
        vaes = [name for name in pipe.components if name.endswith("vae")]
        pipe.enable_group_offload(
            onload_device=torch.device(device),
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=device != "cpu",
            low_cpu_mem_usage=True,
            exclude_modules=vaes,
        )
    else:
        pipe.to(device)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
