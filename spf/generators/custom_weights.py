"""LoRAs and GGUF files, and whether they were made for a pipeline: by names and shapes, after
diffusers' own conversion of names, and its configuration; its weights need not be there."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spf.errors import ConfigError, UnavailableError, one_line
from spf.generators.weights import INDEX, read_config
from spf.names import choose
from spf.numbers import number

EXPERTS = {"high": "transformer", "low": "transformer_2"}
"""Expert for high or low noise -> component; a model without experts has the first alone."""
LAYER = re.compile(r"(.+)\.(?:lora[._]|lokr_)(A|B|down|up|\w+)\b")
"""Module and factor of a LoRA's tensor."""
AXES = {"A": 1, "down": 1, "B": 0, "up": 0}
"""Factor -> the axis that it shares with the module's weights."""


def weights_file(option: str, value: Any, ending: str) -> Path:
    """The path in an option. Raises ConfigError where no such file is there, or of another kind."""
    if not isinstance(value, str | Path) or Path(value).suffix != ending:
        raise ConfigError(
            f"model.{option}={value}: only {ending} files are loaded; "
            "pickled weights can run code, convert them"
        )
    if not Path(value).is_file():
        raise ConfigError(f"model.{option}={value}: there is no such file")
    return Path(value)


@dataclass(frozen=True)
class Lora:
    """A low-rank change of weights. expert : high, low, or both, also where there are none."""

    file: Path
    weight: float = 1.0
    expert: str = "both"

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", weights_file("lora", self.file, ".safetensors"))
        number(f"model.lora: {self.file}: weight", self.weight)
        choose(str(self.expert), ("both", *EXPERTS), "expert of model.lora")

    def targets(self, transformers: Sequence[str]) -> list[str]:
        """Components that it changes. Raises ConfigError where the model has no such expert."""
        if self.expert == "both":
            return list(transformers)
        if len(transformers) < 2:
            raise ConfigError(f"model.lora: expert={self.expert}, but this model has no experts")
        return [EXPERTS[self.expert]]

    @property
    def source(self) -> dict[str, Any]:
        """Arguments by which diffusers reads this file, and nothing else."""
        return {
            "pretrained_model_name_or_path_or_dict": str(self.file.parent),
            "weight_name": self.file.name,
            "use_safetensors": True,
            "local_files_only": True,
        }


def require(option: str, package: str) -> None:
    """Raises UnavailableError where a package that an option needs is not installed."""
    if package and find_spec(package) is None:
        raise UnavailableError(f"model.{option} needs the package {package}: pip install {package}")


def transformers_of(folder: Path) -> list[str]:
    """The transformers of a pipeline."""
    index = read_config(folder) if (folder / INDEX).is_file() else {}
    return [part for part in EXPERTS.values() if (index.get(part) or [None])[0]]


def transformer_class(folder: Path, part: str) -> Any:
    """The class of a transformer. Raises UnavailableError where diffusers has none of that name."""
    import diffusers

    name = str(read_config(folder)[part][1])
    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.ModelMixin)):
        raise UnavailableError(f"{folder / INDEX}: diffusers has no model {name}; update diffusers")
    return kind


def check_kind(pipeline: Any, folder: Path, part: str) -> None:
    """Raises UnavailableError for the transformer of another model than a pipeline's class expects:
    it would be loaded whole before it fails."""
    kind, known = transformer_class(folder, part), pipeline._get_signature_types()
    if kind not in (wanted := known.get(part, (kind,))):
        raise UnavailableError(
            f"{folder}: these are the files of another model (its {part} is {kind.__name__}, not "
            f"{wanted[0].__name__}); check model.path"
        )


def weight_shapes(folder: Path, part: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a transformer's weights, from its configuration alone."""
    from accelerate import init_empty_weights

    kind = transformer_class(folder, part)
    try:
        with init_empty_weights():
            model = kind.from_config(kind.load_config(folder / part, local_files_only=True))
    except Exception as error:  # a foreign configuration may raise anything
        raise UnavailableError(f"{folder / part}: cannot be read ({one_line(error)})") from None
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


def check_lora(lora: Lora, pipeline: Any, folder: Path, part: str) -> None:
    """Raises ConfigError where a layer of it has no counterpart of its size in a transformer of the
    pipeline's class."""
    option = f"model.lora={lora.file}"
    try:
        state = pipeline.lora_state_dict(**lora.source)
    except Exception as error:  # as above
        why = f"damaged, or made for another model ({one_line(error)})"
        raise ConfigError(f"{option}: {why}") from None
    if bad := [key for key, value in state.items() if not bool(value.isfinite().all())]:
        raise ConfigError(f"{option}: {bad[0]} is not finite; get the file again")
    shapes = weight_shapes(folder, part)
    loadable = [name for name in pipeline._lora_loadable_modules if name not in EXPERTS.values()]
    layers: dict[str, bool] = {}
    for key, value in state.items():
        if key.partition(".")[0] in loadable:
            continue
        found = LAYER.match(key.removeprefix("transformer."))
        module, factor = found.groups() if found else (key, "")
        expected = shapes.get(f"{module}.weight") if key.startswith("transformer.") else None
        axis = AXES.get(factor, value.ndim)
        fits = expected and (axis >= value.ndim or value.shape[axis] == expected[axis])
        layers[module] = layers.get(module, True) and bool(fits)
    wrong = [module for module, fits in layers.items() if not fits]
    if wrong or not layers:
        many = f"{len(wrong)} of {len(layers)} layers do not fit {part}"
        first = f", {wrong[0]} first" if wrong else ""
        raise ConfigError(f"{option}: made for another model ({many}{first}); use one for this one")


def gguf_tensors(file: Path) -> dict[str, Any]:
    """The header of each tensor in a GGUF file; its weights are not read."""
    require("gguf", "gguf")
    import gguf

    try:
        tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    except Exception as error:
        raise ConfigError(f"model.gguf={file}: damaged ({one_line(error)})") from None
    if not tensors:
        raise ConfigError(f"model.gguf={file}: this file has no weights")
    return tensors


def check_gguf(file: Path, tensors: Mapping[str, Any], folder: Path, part: str) -> None:
    """Raises ConfigError where diffusers would not find each of the model's weights in the file."""
    import torch
    from diffusers.loaders import single_file_model
    from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES, UNQUANTIZED_TYPES

    known = {*SUPPORTED_GGUF_QUANT_TYPES, *UNQUANTIZED_TYPES}
    if other := {x.tensor_type.name for x in tensors.values() if x.tensor_type not in known}:
        raise ConfigError(
            f"model.gguf={file}: diffusers cannot read {min(other)}; use Q4_K_M, Q8_0"
        )
    expected = weight_shapes(folder, part)
    found = {  # without their content
        name: torch.empty(tuple(map(int, reversed(x.shape))), device="meta")
        for name, x in tensors.items()
    }
    kind = transformer_class(folder, part)
    name = single_file_model._get_single_file_loadable_mapping_class(kind)
    if name is None:
        raise ConfigError(f"model.gguf: diffusers reads none for {kind.__name__}")
    if found.keys() != expected.keys():
        classes: Any = single_file_model.SINGLE_FILE_LOADABLE_CLASSES
        try:
            found = classes[name]["checkpoint_mapping_fn"](checkpoint=found)
        except Exception:  # names that it does not know
            found = {}
    wrong = [
        name for name, shape in expected.items() if name not in found or found[name].shape != shape
    ]
    if wrong:
        raise ConfigError(
            f"model.gguf={file}: made for another architecture ({len(wrong)} of {len(expected)} "
            f"weights of {part} are not in it, {wrong[0]} first); use one for this model"
        )
