"""The weights of VBench's dimensions: where they are published, where they are on this machine.

`scripts/fetch_weights.py` (make weights QUALITY=vbench) downloads them. Hashes were copied from
public records, not computed by us. A file without one is noted with its hash in a lock file when it
is first fetched; from then on that one is expected.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from spf.weights import LOCK, fetch_command, read_lock, sha256_of

CLIP = "https://openaipublic.azureedge.net/clip/models"
DINO = "https://raw.githubusercontent.com/facebookresearch/dino"
DINO_COMMIT = "7c446df5b9f45747937fb0d72314eb9f7b66930a"
DINO_CODE = "dino_model/facebookresearch_dino_main"
DINO_WEIGHTS = "dino_model/dino_vitbase16_pretrain.pth"
DREAMSIM = "https://github.com/ssundaram21/dreamsim/releases/download"
DREAMSIM_WEIGHTS = "dreamsim_model/pretrained.zip"
COTRACKER = "https://raw.githubusercontent.com/facebookresearch/co-tracker"
COTRACKER_COMMIT = "82e02e8029753ad4ef13cf06be7f4fc5facdda4d"
COTRACKER_CODE = "cotracker_model/facebookresearch_co-tracker_main"
COTRACKER_WEIGHTS = "cotracker_model/cotracker2.pth"

HUB_WEIGHTS = (DINO_WEIGHTS, COTRACKER_WEIGHTS)
"""What the code of these networks looks for where torch.hub stores files."""

PACKAGES = {"i2v_background": "dreamsim"}
"""What a dimension imports that vbench does not bring."""


@dataclass(frozen=True)
class QualityFile:
    """A published file. name : its path below `vbench_cache()`, where VBench looks for it, or is
    made to. sha256 : None where no public record of it was found."""

    name: str
    url: str
    sha256: str | None = None

    @property
    def path(self) -> Path:
        """Where it belongs on this machine."""
        return vbench_cache() / self.name

    @property
    def lock(self) -> Path:
        return vbench_cache() / LOCK

    def find(self) -> Path | None:
        return self.path if self.path.is_file() else None

    def hash(self) -> str:
        """SHA-256 of the file that is here. Raises OSError where it cannot be read."""
        return sha256_of(self.path, self.lock)

    def expected(self) -> str | None:
        """SHA-256 that it should have: the pinned one, or the one noted when it was fetched."""
        return self.sha256 or read_lock(self.lock).get("fetched", {}).get(self.name)


def _openai_clip(name: str, sha256: str) -> QualityFile:
    return QualityFile(f"clip_model/{name}.pt", f"{CLIP}/{sha256}/{name}.pt", sha256)


def _code(folder: str, url: str, names: str) -> tuple[QualityFile, ...]:
    """The files of a repository's network that are run, of the whole that VBench would clone."""
    return tuple(QualityFile(f"{folder}/{name}.py", f"{url}/{name}.py") for name in names.split())


_DINO = (
    QualityFile(
        DINO_WEIGHTS,
        "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
        "bf34ad0f424b9029b593e8dc3ed553bf26e88bcba0d32bf3e62a6209cb64c85e",
    ),
    *_code(DINO_CODE, f"{DINO}/{DINO_COMMIT}", "hubconf vision_transformer utils"),
)

VIT_B = _openai_clip("ViT-B-32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af")
VIT_L = _openai_clip("ViT-L-14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836")
_HEAD = QualityFile(
    "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",
    "https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/sa_0_4_vit_l_14_linear.pth",
)
_AMT = QualityFile(
    "amt_model/amt-s.pth", "https://huggingface.co/lalala125/AMT/resolve/main/amt-s.pth"
)
_RAFT = QualityFile(  # VBench unpacks it from an archive of its authors; this is the same file
    "raft_model/models/raft-things.pth",
    "https://github.com/sczhou/ProPainter/releases/download/v0.1.0/raft-things.pth",
    "fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1",
)
_MUSIQ = QualityFile(
    "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",
    "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/musiq_spaq_ckpt-358bb6af.pth",
    "358bb6af275e28ea56821d44fb55c6cb83645db11f394d3ad65b2d149965ab50",
)
_DREAMSIM = QualityFile(
    DREAMSIM_WEIGHTS, f"{DREAMSIM}/v0.2.0-checkpoints/dreamsim_ensemble_checkpoint.zip"
)
_COTRACKER = (
    QualityFile(
        COTRACKER_WEIGHTS, "https://huggingface.co/facebook/cotracker/resolve/main/cotracker2.pth"
    ),
    *_code(
        COTRACKER_CODE,
        f"{COTRACKER}/{COTRACKER_COMMIT}",
        "hubconf cotracker/__init__ cotracker/predictor cotracker/models/__init__ "
        "cotracker/models/build_cotracker cotracker/models/core/__init__ "
        "cotracker/models/core/model_utils cotracker/models/core/embeddings "
        "cotracker/models/core/cotracker/__init__ cotracker/models/core/cotracker/blocks "
        "cotracker/models/core/cotracker/cotracker "
        "cotracker/models/core/cotracker/cotracker3_offline "
        "cotracker/models/core/cotracker/cotracker3_online",
    ),
)

VBENCH_DIMENSIONS: Mapping[str, tuple[QualityFile, ...]] = {
    "subject_consistency": _DINO,
    "background_consistency": (VIT_B,),
    "temporal_flickering": (),
    "motion_smoothness": (_AMT,),
    "dynamic_degree": (_RAFT,),
    "aesthetic_quality": (VIT_L, _HEAD),
    "imaging_quality": (_MUSIQ,),
    "i2v_subject": _DINO,
    "i2v_background": (_DREAMSIM, *_DINO),  # DINO is one of the three networks of the ensemble
    "camera_motion": _COTRACKER,
}
"""VBench's dimensions, each with the files that it needs: the seven of custom input, then those of
image-to-video."""

FIRST_FRAME = ("i2v_subject", "i2v_background")
"""Dimensions that compare a clip with the frame that it was generated from."""

CAMERA = "camera_motion"
"""Whether the camera moves as the prompt asks; most prompts ask nothing."""

DEFAULT_DIMENSIONS = tuple(name for name in VBENCH_DIMENSIONS if name != CAMERA)

QUALITY_FILES = {
    "vbench": list(dict.fromkeys(x for name in DEFAULT_DIMENSIONS for x in VBENCH_DIMENSIONS[name]))
} | {f"vbench/{name}": list(files) for name, files in VBENCH_DIMENSIONS.items() if files}
"""What `make weights QUALITY=` takes -> the files that it needs."""


def vbench_cache() -> Path:
    """Where VBench looks for its weights: VBENCH_CACHE_DIR, or ~/.cache/vbench."""
    return Path(os.environ.get("VBENCH_CACHE_DIR") or Path.home() / ".cache" / "vbench").absolute()


def missing_package(dimension: str = "") -> str:
    """What installs a package that is absent, in one line; "" where all are installed."""
    absent = [x for x in ("vbench", PACKAGES.get(dimension)) if x and not find_spec(x)]
    return f"the package {absent[0]} is absent, get it by make setup" if absent else ""


def missing_weights(dimension: str) -> str:
    """Which weights of a dimension are not here, in short; "" where all are."""
    absent = [file.name for file in VBENCH_DIMENSIONS[dimension] if not file.find()]
    return f"{absent[0]} and {len(absent) - 1} more" if absent[1:] else "".join(absent)


def missing_requirements(dimension: str) -> str:
    """Why a dimension cannot run here, in one line; "" where it can."""
    if missing := missing_package(dimension):
        return missing
    name = "vbench" if dimension in DEFAULT_DIMENSIONS else f"vbench/{dimension}"
    command = fetch_command("quality", name)
    if absent := missing_weights(dimension):
        return f"weights {absent} absent, get them by {command}"
    for file in VBENCH_DIMENSIONS[dimension]:
        expected = file.expected()
        try:
            found = file.hash()
        except OSError as error:
            return f"weights {file.name} cannot be read ({error.strerror})"
        if expected not in (None, found):
            which = "the published ones" if file.sha256 else "those that were fetched"
            return (
                f"weights {file.name} are not {which} (SHA-256 {found[:12]}..., not "
                f"{str(expected)[:12]}...), replace them by {command}"
            )
    return ""
