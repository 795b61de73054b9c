"""The embedder that ships with the project: small, trained without data, no substitute for SigLIP.

`weights/README.md` is its model card; `scripts/train_tiny_embedder.py` made it.
"""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.devices import PickledByArguments
from spf.embedders.base import Image
from spf.embedders.network import in_rows
from spf.errors import UnavailableError

if TYPE_CHECKING:
    from spf.embedders.tiny_network import TinyNetwork

SIZE = 64  # pixels a side of what the network sees; images of any shape are squeezed to it
ROWS = 32  # frames that the network sees at once, always: rounding depends on their number

SHIPPED = Path(__file__).parent / "weights" / "tiny.safetensors"
SHIPPED_SHA256 = "de68ec5da1d6f14acb4cd878dd8a9a36d93eed673468dc31a6b1450da281b41b"


class TinyEmbedder(PickledByArguments):
    """A convolutional network of 3.4 million parameters, on the CPU, in float32.

    path : weights of the same network that `scripts/train_tiny_embedder.py` wrote, or a folder with
    them; None takes those that ship. The vectors do not depend on batch sizes or threads. Raises
    UnavailableError for weights that are missing, damaged or of another network.
    """

    name = "tiny"
    control = False
    batch_size = ROWS

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = SHIPPED if path is None else Path(path)
        if self.path.is_dir():
            self.path /= SHIPPED.name
        try:
            self.weights = hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from None
        self.is_local = self.weights != SHIPPED_SHA256
        if self.is_local and path is None:
            raise self._unusable("it is not the file that ships with this version")
        if self.is_local:
            _ = self._network  # refused before any work

    @classmethod
    def missing_requirements(cls) -> str:
        return "" if SHIPPED.is_file() else f"{SHIPPED} is gone: install the project again"

    def prepare(self, image: Image) -> NDArray[Any]:
        return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        import torch

        def forward(rows: NDArray[Any]) -> NDArray[np.float32]:
            pixels = torch.from_numpy(rows.astype(np.float32) / 127.5 - 1.0).permute(0, 3, 1, 2)
            with torch.inference_mode():
                return self._network(pixels).numpy()

        return in_rows(batch, ROWS, forward)

    def identity(self) -> dict[str, Any]:
        return {
            "embedder": self.name,
            "size": SIZE,
            "weights": self.weights,
            "revision": "none: a local file" if self.is_local else "shipped",
            "dtype": "float32",
        }

    @cached_property
    def _network(self) -> "TinyNetwork":
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from spf.embedders.tiny_network import TinyNetwork

        network = TinyNetwork()
        counters = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
        try:
            found = network.load_state_dict(load_file(self.path), strict=False)
        except (SafetensorError, RuntimeError):
            raise self._unusable("it is damaged, or of another network") from None
        if found.unexpected_keys or set(found.missing_keys) - counters:
            raise self._unusable("it is of another network")
        return network.eval().to(memory_format=torch.channels_last)

    def _unusable(self, reason: str) -> UnavailableError:
        remedy = "install the project again" if self.path == SHIPPED else "give another folder"
        return UnavailableError(f"embedder tiny: {self.path}: {reason}; {remedy}")
