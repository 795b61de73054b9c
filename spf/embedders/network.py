"""What image networks share: device, precision, batches, and how frames get to the model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spf.devices import PickledByArguments, choose_device
from spf.embedders.base import Image
from spf.embedders.preprocess import Preprocess
from spf.errors import SpfError, UnavailableError, one_line
from spf.numbers import optional_number

if TYPE_CHECKING:
    from torch import Tensor
    from torch.cuda import Stream
    from torch.nn import Module

PRECISIONS = ("auto", "float32", "float16", "bfloat16")
CPU_BATCH, GPU_BATCH = 8, 64


class ImageNetwork(PickledByArguments, ABC):
    """An image network: frames -> vectors, on the CPU or a GPU.

    device : auto, cpu, cuda, cuda:N. precision : float32, float16 or bfloat16 (autocast: weights
    stay float32); auto is float32 on the CPU, float16 on a GPU. batch_size : None is 8 on the CPU,
    64 on a GPU. Raises ValueError for other values, UnavailableError for a GPU that is not here.

    The model is loaded by the first batch. On a GPU frames are resized there; on the CPU by Pillow.
    """

    name: ClassVar[str]
    control: ClassVar[bool] = False
    preprocess: Preprocess
    folder: Path
    """Where the weights are."""

    def __init__(
        self, device: str = "auto", precision: str = "auto", batch_size: int | None = None
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        optional_number("batch_size", batch_size, least=1, whole=True)
        self.device = choose_device(device)
        self.batch_size = batch_size or (GPU_BATCH if self._on_gpu else CPU_BATCH)
        if precision == "float16" and not self._on_gpu:
            raise ValueError("precision=float16 needs a GPU; choose float32 or bfloat16")
        usual = "float16" if self._on_gpu else "float32"
        self.precision = usual if precision == "auto" else precision

    def prepare(self, image: Image) -> Any:
        """The image (S, S, 3) uint8 that the model sees: an array, on a GPU a tensor."""
        if not self._on_gpu:
            return self.preprocess.prepare(image)
        import torch

        if self.preprocess.is_long(*image.shape[:2]):
            return torch.tensor(self.preprocess.prepare(image), device=self.device)
        with torch.inference_mode(), torch.cuda.stream(self._side_stream):
            frame = torch.from_numpy(np.ascontiguousarray(image)).pin_memory()
            return self.preprocess.prepare_on(frame.to(self.device, non_blocking=True))

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
            planes = self.preprocess.normalise(torch.as_tensor(batch, device=self.device))
            if not self._on_gpu:
                planes = planes.contiguous()  # channels-last on a GPU
            vectors = self._forward(model, planes)
        return vectors.float().cpu().numpy()

    def identity(self) -> dict[str, Any]:
        """All but the batch size, which is not a property of the vectors but of the call."""
        return {
            "embedder": self.name,
            "preprocess": self.preprocess.identity(),
            "resized_by": "torch" if self._on_gpu else "pillow",
            "precision": self.precision,
            "device": self.device.partition(":")[0],
        }

    @abstractmethod
    def _load(self) -> "Module":
        """The model in float32 on the CPU. Whatever it raises becomes one line."""

    @abstractmethod
    def _forward(self, model: "Module", planes: "Tensor") -> "Tensor":
        """Vectors (B, D) of images (B, 3, S, S)."""

    @abstractmethod
    def unusable(self, reason: str) -> UnavailableError:
        """The error of one line: what is wrong, and what to do."""

    @property
    def _on_gpu(self) -> bool:
        return self.device != "cpu"

    @cached_property
    def _model(self) -> "Module":
        """The model, ready. Raises UnavailableError for weights that make none."""
        import torch

        try:
            model = self._load().eval().requires_grad_(False)
        except SpfError:
            raise
        except Exception as error:  # each library has its own
            raise self.unusable(f"{self.folder}: cannot be loaded ({one_line(error)})") from None
        if self._on_gpu:
            model = model.to(device=self.device).to(memory_format=torch.channels_last)
        return model

    @cached_property
    def _side_stream(self) -> "Stream":
        import torch

        return torch.cuda.Stream(self.device)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        import torch

        if self.precision != "float32":
            return torch.autocast(self.device.partition(":")[0], getattr(torch, self.precision))
        if self._on_gpu:  # convolutions would otherwise be rounded to TF32
            return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        return nullcontext()


def in_rows(
    batch: NDArray[Any], rows: int, forward: Callable[[NDArray[Any]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Vectors of a batch that goes through a network `rows` frames at a time, always.

    Rounding depends on their number: so the vectors depend on no batch size.
    """
    parts = []
    for start in range(0, len(batch), rows):
        part = batch[start : start + rows]
        missing = np.zeros((rows - len(part), *part.shape[1:]), part.dtype)
        parts.append(forward(np.concatenate([part, missing]))[: len(part)])
    return np.concatenate(parts)
