"""LPIPS between consecutive frames, the distance of DiffMorpher's perceptual distance variance.

R. Zhang, P. Isola, A. Efros, E. Shechtman, O. Wang, "The Unreasonable Effectiveness of Deep
Features as a Perceptual Metric" (CVPR 2018), version 0.1 with AlexNet: what DiffMorpher's own
evaluation uses. torchvision's network and the weights of two published files; nothing is
downloaded here.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.errors import UnavailableError, one_line
from spf.identity import file_digest

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

BATCH = 8
SMALLEST, LARGEST = 64, 512
"""Sides in pixels: AlexNet sees nothing in less than 63, DiffMorpher measures at 512."""

LAYERS = (1, 4, 7, 9, 11)
"""Of `alexnet.features`: after each of the five rectifiers."""

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""LPIPS' own normalisation of RGB in -1..1."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file. folders : of torch.hub's; the first one is where our command puts it."""

    name: str
    url: str
    sha256: str
    folders: tuple[str, ...]

    def find(self) -> Path | None:
        """Where it is on this machine, found without importing torch."""
        cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        hub = Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser() / "hub"
        places = [hub / folder / self.name for folder in self.folders]
        return next((place for place in places if place.is_file()), None)


ALEXNET = WeightsFile(
    "alexnet-owt-7be5be79.pth",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    ("checkpoints",),
)
LINEAR = WeightsFile(
    "LPIPS_v0.1_alex-df73285e.pth",
    "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/LPIPS_v0.1_alex-df73285e.pth",
    "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    ("checkpoints", "pyiqa"),  # where torch.hub and pyiqa store theirs
)


def missing_weights() -> str:
    """Which weights are not here, and the command that gets them; "" where all are."""
    absent = [file for file in (ALEXNET, LINEAR) if file.find() is None]
    names = " and ".join(file.name for file in absent)
    return f"{names} absent; get them: {_command(*absent)}" if absent else ""


def _command(*files: WeightsFile) -> str:
    folder = "${TORCH_HOME:-$HOME/.cache/torch}/hub/checkpoints"
    wanted = " ".join(f"-O {file.url}" for file in files)
    return f'curl -fL --create-dirs --output-dir "{folder}" {wanted}'


def identity() -> list[Any] | None:
    """What determines the distances beside the code: the files found; None where one is absent."""
    found = [path for file in (ALEXNET, LINEAR) if (path := file.find())]
    return [[path.name, path.stat().st_size] for path in found] if len(found) == 2 else None


def perceptual_steps(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """LPIPS (T - 1,), at least 0, of consecutive frames (H, W, 3) uint8 RGB, as `reduced` gives.

    `BATCH` frames are taken at a time. Raises UnavailableError, in one line, for weights that are
    absent, damaged or others than the published ones.
    """
    import torch

    convolutions, weights = load_network()
    found: list[float] = []
    last: list[Tensor] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are rounded otherwise with another number
    try:
        with torch.inference_mode():
            for start in range(0, len(frames), BATCH):
                features = _features(convolutions, np.stack(frames[start : start + BATCH]))
                if last:
                    features = [torch.cat(pair) for pair in zip(last, features, strict=True)]
                # Per layer, the squared difference of neighbours' features, weighted by channel
                # and averaged over places; summed over the layers.
                parts = [
                    ((layer[1:] - layer[:-1]).square() * weight).sum(dim=1).mean(dim=(1, 2))
                    for layer, weight in zip(features, weights, strict=True)
                ]
                found += sum(parts[1:], start=parts[0]).tolist()
                last = [layer[-1:] for layer in features]
    finally:
        torch.set_num_threads(threads)
    return np.array(found)


def reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame no larger than DiffMorpher's and no smaller than AlexNet can see."""
    height, width = image.shape[:2]
    scale = min(LARGEST / max(height, width), 1.0)
    wanted = [max(round(side * scale), SMALLEST) for side in (width, height)]
    if wanted == [width, height]:
        return image
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, wanted, interpolation=method), np.uint8)


def _features(convolutions: "Module", images: NDArray[np.uint8]) -> "list[Tensor]":
    """Features (B, C, h, w) of each layer, of unit length along C, of frames (B, H, W, 3)."""
    import torch

    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
    layer, found = (planes - shift) / scale, []
    for index, step in enumerate(convolutions.children()):
        layer = step(layer)
        if index in LAYERS:
            length = layer.square().sum(dim=1, keepdim=True).sqrt()
            found.append(layer / (length + 1e-10))
    return found


@lru_cache(maxsize=1)
def load_network() -> "tuple[Module, list[Tensor]]":
    """AlexNet's convolutions, and the weight of each of their channels, on the CPU."""
    import torch
    from torchvision.models import alexnet  # type: ignore[import-untyped]

    if missing := missing_weights():
        raise UnavailableError(f"LPIPS: {missing}")
    with torch.device("meta"):  # nothing is drawn for weights that are replaced
        convolutions = alexnet(weights=None).features
    named = {name.partition("."): tensor for name, tensor in _read(ALEXNET).items()}
    own = {name: tensor for (part, _, name), tensor in named.items() if part == "features"}
    convolutions.load_state_dict(own, assign=True)
    # A rectifier in place would change the features that were stored before it.
    for step in convolutions.children():
        if isinstance(step, torch.nn.ReLU):
            step.inplace = False
    linear = _read(LINEAR)
    weights = [linear[f"lin{layer}.model.1.weight"] for layer in range(len(LAYERS))]
    return convolutions.eval().requires_grad_(False), [x.view(1, -1, 1, 1) for x in weights]


def _read(file: WeightsFile) -> Any:
    """Its tensors by name. Raises UnavailableError unless it is the published file."""
    import torch

    path = file.find()
    assert path is not None
    found = file_digest(path, "sha256")
    try:
        if found != file.sha256:
            raise UnpicklingError(f"SHA-256 {found[:8]}, not {file.sha256[:8]}")
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        what = f"is damaged or another file ({one_line(error, 120)})"
        raise UnavailableError(f"LPIPS: {path} {what}; get it again: {_command(file)}") from None
