"""Random weights for VBench's dimensions, in the files and formats of the published ones.

    python tests/helpers/vbench_weights.py FOLDER

The networks of DINO, CoTracker and DreamSim are others behind the same entry points.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

from spf.quality import VBENCH_DIMENSIONS
from spf.quality import weights as places

DINO = {
    "hubconf": """import torch
import vision_transformer as vits
URL = "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"

def dino_vitb16(pretrained=True, **kwargs):
    model = vits.Patches()
    if pretrained:
        model.load_state_dict(torch.hub.load_state_dict_from_url(url=URL, map_location="cpu"))
    return model
""",
    "vision_transformer": """import torch
from utils import pooled

class Patches(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 16, 16, 16)
    def forward(self, x):
        return pooled(self.patch(x))
""",
    "utils": """def pooled(x):
    return x.mean((2, 3))
""",
}
TRACKER = {
    "hubconf": """import torch
URL = "https://huggingface.co/facebook/cotracker/resolve/main/cotracker2.pth"

def cotracker2(pretrained=True, **kwargs):
    from cotracker.predictor import Tracker
    model = Tracker()
    model.load_state_dict(torch.hub.load_state_dict_from_url(URL, map_location="cpu"))
    return model
""",
    "cotracker/predictor": """import torch

class Tracker(torch.nn.Module):
    # All points move as the middle of the light does.
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(()))
    def forward(self, video, grid_size):
        light = video.mean(2)
        light = light / light.sum((-1, -2), keepdim=True)
        down, across = (torch.arange(size).float() for size in light.shape[-2:])
        middles = [(light.sum(-2) * across).sum(-1), (light.sum(-1) * down).sum(-1)]
        middles = torch.stack(middles, -1)
        moved = self.gain * (middles - middles[:, :1])
        y, x = torch.meshgrid(torch.arange(grid_size), torch.arange(grid_size), indexing="ij")
        grid = 16.0 + 4.0 * torch.stack([x, y], -1).reshape(1, 1, -1, 2)
        return grid + moved[:, :, None], None
""",
}
DREAMSIM = """import os
import torch

class Ensemble(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 8, 32, 32)
    def embed(self, image):
        return self.patch(image).mean((2, 3))

def dreamsim(pretrained=True, device="cuda", cache_dir="./models"):
    model = Ensemble().to(device)
    weights = os.path.join(cache_dir, "ensemble_lora", "ensemble.pth")
    model.load_state_dict(torch.load(weights, map_location=device))
    return model, None
"""


def save_all(root):
    """Write all files of `VBENCH_DIMENSIONS` below `root`."""
    import vbench
    from easydict import EasyDict
    from omegaconf import OmegaConf
    from pyiqa.archs.musiq_arch import MUSIQ
    from vbench.third_party.amt.utils.build_utils import build_from_cfg
    from vbench.third_party.RAFT.core.raft import RAFT

    torch.manual_seed(0)
    config = Path(vbench.__file__).parent / "third_party" / "amt" / "cfgs" / "AMT-S.yaml"
    amt = build_from_cfg(OmegaConf.load(config).network)
    raft = RAFT(EasyDict(small=False, mixed_precision=False, alternate_corr=False))
    # The published file holds more than tensors too.
    _put(root / "amt_model/amt-s.pth", {"state_dict": amt.state_dict(), "psnr": np.float64(36)})
    state = {f"module.{name}": value for name, value in raft.state_dict().items()}
    _put(root / "raft_model/models/raft-things.pth", state)
    _put(root / "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth", MUSIQ(pretrained=False).state_dict())
    head = root / "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth"
    _put(head, torch.nn.Linear(768, 1).state_dict())
    _save_clip(root / "clip_model/ViT-B-32.pt", patch=32)
    _save_clip(root / "clip_model/ViT-L-14.pt", patch=56)
    save_image_to_video(root)


def save_image_to_video(root):
    """Write the files of the dimensions of image-to-video, and `package/dreamsim`, below `root`."""

    def patches(width, side):
        state = torch.nn.Conv2d(3, width, side, side).state_dict()
        return {f"patch.{name}": value for name, value in state.items()}

    torch.manual_seed(1)
    code = {f"{places.DINO_CODE}/{name}.py": text for name, text in DINO.items()}
    code |= {file.name: "" for file in VBENCH_DIMENSIONS["camera_motion"]}
    code |= {f"{places.COTRACKER_CODE}/{name}.py": text for name, text in TRACKER.items()}
    for name, text in (code | {"package/dreamsim/__init__.py": DREAMSIM}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    _put(root / places.DINO_WEIGHTS, patches(16, 16))
    _put(root / places.COTRACKER_WEIGHTS, {"gain": torch.tensor(3.0)})
    torch.save(patches(8, 32), content := io.BytesIO())
    (root / places.DREAMSIM_WEIGHTS).parent.mkdir()
    with zipfile.ZipFile(root / places.DREAMSIM_WEIGHTS, "w") as archive:
        archive.writestr("ensemble_lora/ensemble.pth", content.getvalue())


def _put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def _save_clip(path, patch):
    """A TorchScript archive of 2 layers that sees 224 pixels and gives 768 numbers."""
    from clip.model import CLIP

    model = CLIP(768, 224, 2, 64, patch, 8, 16, 64, 1, 1).eval()
    example = (torch.zeros(1, 3, 224, 224), torch.zeros(1, 8, dtype=torch.long))
    path.parent.mkdir(exist_ok=True)
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(model, example), path)


if __name__ == "__main__":
    save_all(Path(sys.argv[1]))
