"""What the published image towers share: weights, device, precision, batches, identity."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spf.devices import choose_device
from spf.embedders.base import Image
from spf.embedders.preprocess import Preprocess
from spf.errors import SpfError, UnavailableError
from spf.fingerprint import installed
from spf.identity import code_hash
from spf.weights import EMBEDDER_PINS, LOCK, cache_folder, find_cached, repository_folder
from spf.weights import sha256_of as file_sha256
from spf.words import choose

if TYPE_CHECKING:
    from torch import Tensor
    from torch.cuda import Stream
    from torch.nn import Module

PRECISIONS = ("auto", "float32", "float16", "bfloat16")
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
LOCAL = "local folder"
CPU_BATCH, GPU_BATCH = 8, 64


class Tower(ABC):
    """An image tower: frames -> vectors, with the weights, the loader and the preprocessing of its
    own library.

    path : folder with the weights and their configuration; None looks for the published ones in
    the cache of the hub. Nothing is ever downloaded. model : a variant; None is the family's first,
    or whatever `path` holds. device : auto, cpu, cuda, cuda:N. precision : float32, float16 or
    bfloat16 (autocast: weights stay float32); auto is float32 on the CPU, float16 on a GPU.
    batch_size : None is 8 on the CPU, 64 on a GPU.

    On a GPU frames are resized there; on the CPU by Pillow. Vectors do not depend on the batch
    size beyond the rounding of float32 sums (or of the chosen precision).

    The files are checked when the object is made, which loads neither torch nor the model; the
    model is loaded by the first batch. Raises UnavailableError, in one line with the remedy, for
    files that are missing, damaged, pickled, of another model or with another hash than the pinned
    one, and for a GPU that is not here; ValueError and ConfigError for unknown words.
    """

    name: ClassVar[str]
    control: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]]
    """Distributions whose version can move a vector."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        model: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
            raise ValueError(f"batch_size must be a whole number, at least 1, not {batch_size!r}")
        pins = EMBEDDER_PINS[self.name]
        variant = next(iter(pins)) if model is None else choose(model, pins, f"{self.name} model")
        self.pin = pins[variant]
        self.model = variant if path is None or model is not None else LOCAL
        self.path = None if path is None else Path(path)
        self.device = choose_device(device)
        self.batch_size = batch_size or (GPU_BATCH if self._on_gpu else CPU_BATCH)
        self.precision = self._precision(precision)
        self.folder, self.revision = self._locate()
        self.weights = self._check_weights()
        try:
            self.preprocess = self._read_preprocess()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = f"{type(error).__name__}: {_line(error)}"
            raise self.unusable(f"{self.folder}: a configuration not known here ({what})") from None

    @classmethod
    def lacking(cls) -> str:
        """What is not here that this embedder needs with its default settings; "" if nothing."""
        pin = next(iter(EMBEDDER_PINS[cls.name].values()))
        if find_cached(pin) is not None:
            return ""
        return f"weights absent ({pin.repo}): make weights EMBEDDER={cls.name}"

    def prepare(self, image: Image) -> Any:
        """The picture (S, S, 3) uint8 that the model sees: an array, on a GPU a tensor."""
        if not self._on_gpu:
            return self.preprocess.picture(image)
        import torch

        if self.preprocess.is_long(image):
            return torch.tensor(self.preprocess.picture(image), device=self.device)
        with torch.inference_mode(), torch.cuda.stream(self._side_stream):
            frame = torch.from_numpy(np.ascontiguousarray(image)).pin_memory()
            return self.preprocess.picture_on(frame.to(self.device, non_blocking=True))

    def stack(self, prepared: Sequence[Any]) -> Any:
        """Prepared frames as one batch (B, S, S, 3) uint8, on the model's device."""
        if not self._on_gpu:
            return np.stack(prepared)
        import torch

        with torch.inference_mode(), torch.cuda.stream(self._side_stream):
            batch = torch.stack(list(prepared))
            self._side_stream.synchronize()  # this thread waits; the model goes on meanwhile
            return batch

    def encode(self, batch: Any) -> NDArray[np.float32]:
        """Vectors (B, D) float32 of a batch, as the model gives them: not normalised."""
        import torch

        model = self._model
        with torch.inference_mode(), self._arithmetic():
            pictures = torch.as_tensor(batch, device=self.device)
            vectors = self._forward(model, self._planes(pictures))
        return vectors.float().cpu().numpy()

    def identity(self) -> dict[str, Any]:
        """All but the batch size, which is not a property of the vectors but of the call."""
        return {
            "embedder": self.name,
            "model": self.model,
            "revision": self.revision,
            "weights": self.weights,
            "config": self._config_hash(),
            "preprocess": self.preprocess.identity(),
            "resized_by": "torch" if self._on_gpu else "pillow",
            "precision": self.precision,
            "device": self.device.partition(":")[0],
            "versions": installed("torch", "pillow", *self.packages),
            "code": code_hash(type(self)),
        }

    # What a family defines

    @abstractmethod
    def _read_preprocess(self) -> Preprocess:
        """From the files in the folder. What it raises becomes one line."""

    @abstractmethod
    def _load(self) -> "Module":
        """The model in float32 on the CPU. Whatever it raises becomes one line."""

    @abstractmethod
    def _forward(self, model: "Module", planes: "Tensor") -> "Tensor":
        """Vectors (B, D) of pictures (B, 3, S, S)."""

    @abstractmethod
    def _is_mine(self, tensors: Collection[str]) -> bool:
        """Whether weights of these names are of this family."""

    # Files

    def _locate(self) -> tuple[Path, str]:
        """The folder with all files, and its revision."""
        if self.path is not None:
            for name in self.pin.files:
                if not (self.path / name).is_file():
                    raise self.unusable(f"{self.path}: {name} is not there{self._pickled()}")
            return self.path, "none: a local folder"
        found = find_cached(self.pin)
        if found is None:
            commit = f" (commit {self.pin.revision[:12]})" if self.pin.revision else ""
            wanted = f"{' and '.join(self.pin.files)} of {self.pin.repo}{commit}"
            raise self.unusable(f"looked for {wanted} in {cache_folder()}: not there")
        return found

    def _pickled(self) -> str:
        assert self.path is not None
        if not self.path.is_dir():
            return ", nor is the folder"
        found = sorted(file.name for file in self.path.iterdir() if file.suffix in PICKLED)
        return f" ({found[0]} is: pickled weights may run code and are refused)" if found else ""

    def _check_weights(self) -> str:
        """SHA-256 of the weights, which are whole, of this family, and the pinned ones if any."""
        from safetensors import SafetensorError, safe_open

        file = self.folder / self.pin.weights
        try:
            with safe_open(file, "np") as content:
                if not self._is_mine(content.keys()):
                    raise self.unusable(f"{file}: the weights are of another kind of model")
            folder = self.folder if self.path else repository_folder(self.pin)
            digest = file_sha256(file, folder / LOCK)
        except SafetensorError as error:
            raise self.unusable(f"{file}: cut short, or not safetensors ({error})") from None
        except OSError as error:
            raise self.unusable(f"{file}: {error.strerror or error}") from None
        wanted = self.pin.sha256
        if self.model != LOCAL and wanted not in (None, digest):
            raise self.unusable(
                f"{file}: its SHA-256 is {digest[:12]}..., that of {self.model} {wanted[:12]}..."
            )
        return digest

    def _read_json(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        try:
            content = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise self.unusable(f"{file}: cannot be read as JSON ({error})") from None
        if not isinstance(content, dict):
            raise self.unusable(f"{file}: it holds no settings")
        return content

    def unusable(self, reason: str) -> UnavailableError:
        """The error that says in one line what is wrong, what to do, and what works here."""
        from spf.embedders import usable

        default = self.pin is next(iter(EMBEDDER_PINS[self.name].values()))
        word = self.name if default else f"{self.name}/{self.model}"
        works = ", ".join(word for word, lacking in usable().items() if not lacking)
        return UnavailableError(
            f"embedder {self.name}: {' '.join(reason.split())}; get the weights with make weights "
            f"EMBEDDER={word}, or name a folder: embedder.path=FOLDER; usable now: {works}"
        )

    # The model

    @property
    def _on_gpu(self) -> bool:
        return self.device != "cpu"

    def _precision(self, word: str) -> str:
        if word == "auto":
            return "float16" if self._on_gpu else "float32"
        if word == "float16" and not self._on_gpu:
            raise ValueError("precision=float16 needs a GPU; choose float32 or bfloat16")
        return word

    @cached_property
    def _model(self) -> "Module":
        import torch

        try:
            model = self._load().eval().requires_grad_(False)
            if self._on_gpu:
                model = model.to(device=self.device).to(memory_format=torch.channels_last)
        except SpfError:
            raise
        except Exception as error:  # each library has its own
            raise self.unusable(f"{self.folder}: cannot be loaded ({_line(error)})") from None
        return model

    @cached_property
    def _side_stream(self) -> "Stream":
        import torch

        return torch.cuda.Stream(self.device)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        import torch

        if self.precision != "float32":
            kind = self.device.partition(":")[0]
            return torch.autocast(kind, getattr(torch, self.precision))
        if self._on_gpu:  # convolutions would otherwise be rounded to TF32
            return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        return nullcontext()

    def _planes(self, pictures: "Tensor") -> "Tensor":
        planes = self.preprocess.normalise(pictures)
        return planes if self._on_gpu else planes.contiguous()  # channels-last on a GPU

    def _config_hash(self) -> str:
        files = [(self.folder / name).read_bytes() for name in self.pin.others]
        return hashlib.sha256(b"".join(files)).hexdigest()


def _line(text: object) -> str:
    """One line of at most 200 letters."""
    line = " ".join(str(text).split())
    return line if len(line) <= 200 else line[:197] + "..."
