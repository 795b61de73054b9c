"""Random weights for VBench's dimensions, in the files and formats of the published ones.

    python tests/helpers/vbench_weights.py FOLDER

AMT, RAFT, MUSIQ and the aesthetic head are built as published; the two CLIPs are small, but of
CLIP's own classes and saved as the published ones are. The network of DINO, which is no package,
is another one behind the same entry point, `dino_vitb16` of a torch.hub folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HUBCONF = """
import torch
import vision_transformer as vits

URL = "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"


def dino_vitb16(pretrained=True, **kwargs):
    model = vits.Patches()
    if pretrained:
        model.load_state_dict(torch.hub.load_state_dict_from_url(url=URL, map_location="cpu"))
    return model
"""
NETWORK = """
import torch
from utils import pooled


class Patches(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 16, 16, 16)

    def forward(self, x):
        return pooled(self.patch(x))
"""
UTILS = """
def pooled(x):
    return x.mean((2, 3))
"""


def save_all(root: Path) -> None:
    """Write all files of `VBENCH_DIMENSIONS` below `root`."""

    def put(name: str, content: Any) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, root / name)

    torch.manual_seed(0)
    # The published file holds more than tensors too.
    put("amt_model/amt-s.pth", {"state_dict": _amt().state_dict(), "psnr": np.float64(36.0)})
    raft = {f"module.{name}": value for name, value in _raft().state_dict().items()}
    put("raft_model/models/raft-things.pth", raft)
    put("pyiqa_model/musiq_spaq_ckpt-358bb6af.pth", _musiq().state_dict())
    head = torch.nn.Linear(768, 1).state_dict()
    put("aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth", head)
    _save_clip(root / "clip_model" / "ViT-B-32.pt", patch=32)
    _save_clip(root / "clip_model" / "ViT-L-14.pt", patch=56)
    code = root / "dino_model" / "facebookresearch_dino_main"
    code.mkdir(parents=True)
    for name, text in (("hubconf", HUBCONF), ("vision_transformer", NETWORK), ("utils", UTILS)):
        (code / f"{name}.py").write_text(text)
    patch = torch.nn.Conv2d(3, 16, 16, 16).state_dict()
    weights = {f"patch.{name}": value for name, value in patch.items()}
    put("dino_model/dino_vitbase16_pretrain.pth", weights)


def _amt() -> Any:
    import vbench
    from omegaconf import OmegaConf
    from vbench.third_party.amt.utils.build_utils import build_from_cfg

    config = Path(vbench.__file__).parent / "third_party" / "amt" / "cfgs" / "AMT-S.yaml"
    return build_from_cfg(OmegaConf.load(config).network)


def _raft() -> Any:
    from easydict import EasyDict
    from vbench.third_party.RAFT.core.raft import RAFT

    return RAFT(EasyDict(small=False, mixed_precision=False, alternate_corr=False))


def _musiq() -> Any:
    from pyiqa.archs.musiq_arch import MUSIQ

    return MUSIQ(pretrained=False)


def _save_clip(path: Path, patch: int) -> None:
    """A TorchScript archive of 2 layers that sees 224 pixels and gives 768 numbers."""
    from clip.model import CLIP

    model = CLIP(768, 224, 2, 64, patch, 8, 16, 64, 1, 1).eval()
    example = (torch.zeros(1, 3, 224, 224), torch.zeros(1, 8, dtype=torch.long))
    path.parent.mkdir(exist_ok=True)
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(model, example), path)


if __name__ == "__main__":
    save_all(Path(sys.argv[1]))
