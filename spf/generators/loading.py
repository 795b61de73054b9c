"""How a pipeline of diffusers is loaded: LoRAs, quantised weights, offloading, tiles, compilation.

All is checked before any weights are read.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spf.errors import ConfigError, UnavailableError, one_line
from spf.generators.custom_weights import (
    EXPERTS,
    Lora,
    check_gguf,
    check_kind,
    check_lora,
    gguf_tensors,
    require,
    transformer_class,
    transformers_of,
    weights_file,
)
from spf.generators.weights import read_config
from spf.names import choose
from spf.numbers import switch
from spf.weights import LOCK, sha256_of

OFFLOADS = ("none", "model", "group", "sequential")


QUANTIZATIONS: Mapping[str, tuple[float, str]] = {
    "fp8": (1.0, ""),
    "bnb4": (0.5 + 4 / 64, "bitsandbytes"),  # a float32 scale for 64 weights
    "bnb8": (1.0, "bitsandbytes"),
    "torchao_int8": (1.0, "torchao"),
}
"""Name -> bytes a weight of matrices, scales included, and the package that it needs; packages
quantise the text encoder too."""
ON_CPU = ("native", "_native_math", "_native_flash", "flex")
"""Kernels that the processor has."""
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Without diffusers' lines on each weight that stays in float32."""
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)


@dataclass(frozen=True, eq=False)
class LoadOptions:
    """Options of loading; docs/how-to/small-gpus.md says what each does.

    lora : a safetensors file, or a list of files or of {file, weight, expert}. gguf : the quantised
    transformer; for two experts [HIGH, LOW]. quantize : a key of `QUANTIZATIONS`, for what comes
    from no GGUF file. attention : a key of `ATTENTIONS`, None leaves it to diffusers.

    Raises ConfigError for values and combinations that cannot be.
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
        choose(self.offload, OFFLOADS, "offload")
        if self.quantize is not None:
            choose(self.quantize, QUANTIZATIONS, "quantize")
        if self.attention is not None:
            choose(self.attention, ATTENTIONS, "attention")
        for name in ("tiling", "slicing", "compile"):
            switch(f"model.{name}", getattr(self, name))
        _ = self.loras, self.ggufs  # which are validated as they are made
        if self._package == "bitsandbytes" and self.offload in ("group", "sequential"):
            raise ConfigError(
                f"model.quantize={self.quantize}: bitsandbytes' layers cannot be moved singly; use "
                "model.offload=model, or model.gguf"
            )
        if self.offload == "sequential" and (self.gguf or self.quantize or self.compile):
            raise ConfigError(
                "model.offload=sequential: quantised or compiled layers cannot be moved so; use "
                "model.offload=group"
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
    def ggufs(self) -> dict[str, Path]:
        """Component -> its GGUF file; the folder need not hold its weights."""
        entries = [] if self.gguf is None else self.gguf
        entries = [entries] if isinstance(entries, str | Path) else entries
        if not isinstance(entries, Sequence) or len(entries) > len(EXPERTS):
            raise ConfigError(f"model.gguf={self.gguf!r} must be a file, or [HIGH, LOW]")
        files = [weights_file("gguf", entry, ".gguf") for entry in entries]
        return dict(zip(EXPERTS.values(), files, strict=False))

    @property
    def notes(self) -> list[str]:
        """A line for each option that changes what the model makes."""
        lines = [
            f"LoRA {x.file.name} with weight {x.weight:g}"
            + ("" if x.expert == "both" else f" in the expert for {x.expert} noise")
            for x in self.loras
        ]
        lines += [f"{part} from {file.name}" for part, file in self.ggufs.items()]
        lines += [f"weights quantised by {self.quantize}"] if self.quantize else []
        lines += [f"attention by {self.attention}"] if self.attention else []
        return lines + (["the VAE works in tiles"] if self.tiling else [])

    def identity(self) -> dict[str, Any]:
        """What changes the pixels: offloading and slices do not."""
        return {
            "lora": [[_sha256(x.file), x.weight, x.expert] for x in self.loras],
            "gguf": [_sha256(file) for file in self.ggufs.values()],
            "quantize": self.quantize,
            "attention": self.attention,
            "tiling": self.tiling,
            "compile": self.compile,
        }

    def packages(self) -> list[str]:
        """Distributions whose versions the pixels depend on."""
        extra = (("peft", self.loras), ("gguf", self.ggufs), (self._package, self._package))
        return [name for name, used in extra if used]

    def widths(self) -> dict[str, float]:
        """Bytes a weight of the components that are quantised. GGUF: of its weights together.
        Otherwise of the matrices: embeddings and norms, which stay as they are, take more."""
        found = {
            part: sum(x.n_bytes for x in tensors.values())
            / sum(x.n_elements for x in tensors.values())
            for part, tensors in self._tensors.items()
        }
        if self.quantize:
            found |= dict.fromkeys(self._quantized, QUANTIZATIONS[self.quantize][0])
        return found

    def parameters(self) -> dict[str, int]:
        """Numbers of weights in the components that come from GGUF files."""
        tensors = self._tensors.items()
        return {part: sum(int(x.n_elements) for x in found.values()) for part, found in tensors}

    def check(self, folder: Path, pipeline: Any, device: str) -> None:
        """Raises UnavailableError where a package or a GPU is missing, and for a folder of another
        model than the pipeline's class; ConfigError for files that are damaged or made for another
        one. Nothing is loaded."""
        require("lora", "peft" if self.loras else "")
        require("quantize", self._package)
        require("attention", ATTENTIONS[self.attention or "native"])
        for option, chosen, remedy in (
            ("offload", self.offload == "sequential", "model.offload=none"),
            ("attention", self.attention not in (None, *ON_CPU), "native"),
            ("quantize", self._package == "bitsandbytes", "model.gguf, or quantize=fp8"),
        ):
            if chosen and device == "cpu":
                what = f"model.{option}={getattr(self, option)} needs a GPU"
                raise UnavailableError(f"{what}; use {remedy}")
        experts = transformers_of(folder)
        for part in experts:
            check_kind(pipeline, folder, part)
        if self.ggufs and len(self.ggufs) != len(experts):
            wanted = "[HIGH, LOW], a file for each expert" if len(experts) > 1 else "one file"
            raise ConfigError(f"model.gguf: this model needs {wanted}; not {len(self.ggufs)}")
        for part in experts if self.compile else ():
            kind = transformer_class(folder, part)
            if not getattr(kind, "_repeated_blocks", None):
                raise ConfigError(f"model.compile: diffusers names no blocks of {kind.__name__}")
        for part, file in self.ggufs.items():
            check_gguf(file, self._tensors[part], folder, part)
        for lora in self.loras:
            for part in lora.targets(experts):
                check_lora(lora, pipeline, folder, part)

    @_quiet()
    def load(self, folder: Path, pipeline: Any, dtypes: dict[str, Any], device: str) -> Any:
        """The pipeline (an object of that class) with all options applied, on its device.

        dtypes : torch's by component, and of the others as "default".
        """
        from diffusers import attention_backend

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
        transformers = {part: getattr(pipe, part) for part in transformers_of(folder)}
        for transformer in transformers.values() if self.attention else ():
            try:
                with attention_backend(self.attention):  # else it would be set for all models
                    transformer.set_attention_backend(self.attention)
            except (RuntimeError, ValueError) as error:
                what = f"model.attention={self.attention}: {one_line(error)}"
                raise UnavailableError(what) from None
        self._add_loras(pipe, transformers)
        for part in self._quantized if self.quantize == "fp8" else ():
            if part in transformers:  # LoRAs stay as they are
                transformers[part].enable_layerwise_casting(
                    compute_dtype=dtypes["default"], skip_modules_pattern=("lora_",)
                )
        if self.tiling:
            pipe.vae.enable_tiling()
        if self.slicing:
            pipe.vae.enable_slicing()
        place(pipe, self.offload, device)
        for transformer in transformers.values() if self.compile else ():
            transformer.compile_repeated_blocks()  # the rope stays outside: it can still be warped
        return pipe

    @property
    def _package(self) -> str:
        return QUANTIZATIONS[self.quantize][1] if self.quantize else ""

    @property
    def _quantized(self) -> list[str]:
        """Components that `quantize` concerns."""
        text = ["text_encoder"] if self._package else []
        return [part for part in EXPERTS.values() if part not in self.ggufs] + text

    @cached_property
    def _tensors(self) -> dict[str, dict[str, Any]]:
        """Component -> name -> the header of each tensor in its GGUF file."""
        return {part: gguf_tensors(file) for part, file in self.ggufs.items()}

    def _from_gguf(self, folder: Path, dtype: Any) -> dict[str, Any]:
        if not self.ggufs:
            return {}
        from diffusers import GGUFQuantizationConfig

        return {
            part: transformer_class(folder, part).from_single_file(
                str(file),
                config=str(folder / part),
                quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
                torch_dtype=dtype,
                local_files_only=True,
            )
            for part, file in self.ggufs.items()
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

        present = read_config(folder)
        mapping = {
            part: config(transformers if part == "text_encoder" else diffusers)
            for part in self._quantized
            if (present.get(part) or [None])[0]
        }
        return diffusers.PipelineQuantizationConfig(quant_mapping=mapping)

    def _add_loras(self, pipe: Any, transformers: Mapping[str, Any]) -> None:
        weights: dict[str, dict[str, float]] = {part: {} for part in transformers}
        for number, lora in enumerate(self.loras):
            for part in lora.targets(list(transformers)):
                into = {"load_into_transformer_2": True} if part == EXPERTS["low"] else {}
                pipe.load_lora_weights(**lora.source, adapter_name=f"lora{number}", **into)
                weights[part][f"lora{number}"] = float(lora.weight)
        for part, named in weights.items():
            if named:
                transformers[part].set_adapters(list(named), list(named.values()))


def _sha256(file: Path) -> str:
    return sha256_of(file, file.parent / LOCK)


def place(pipe: Any, offload: str, device: str) -> None:
    """Bring a pipeline to where it computes. In groups, the VAEs stay on the device: they are
    called by other methods than `forward`, which no hook sees."""
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
