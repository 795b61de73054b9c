"""The weights of VBench's dimensions: where they are published, where they are on this machine.

Nothing is downloaded here: `scripts/fetch_weights.py` (make weights QUALITY=vbench) does that.
Hashes were copied from public records, not computed by us. A file without one is noted with its
hash in a lock file when it is first fetched; from then on that one is expected.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from spf.weights import LOCK, read_lock, sha256_of

COMMAND = "make weights QUALITY=vbench"

CLIP = "https://openaipublic.azureedge.net/clip/models"
DINO = "https://raw.githubusercontent.com/facebookresearch/dino"
DINO_COMMIT = "7c446df5b9f45747937fb0d72314eb9f7b66930a"
DINO_CODE = "dino_model/facebookresearch_dino_main"
DINO_WEIGHTS = "dino_model/dino_vitbase16_pretrain.pth"


@dataclass(frozen=True)
class WeightsFile:
    """A published file. name : its path below `vbench_cache()`, where VBench looks for it.
    sha256 : None where no public record of it was found."""

    name: str
    url: str
    sha256: str | None = None

    @property
    def path(self) -> Path:
        """Where it belongs on this machine."""
        return vbench_cache() / self.name

    def hash(self) -> str:
        """SHA-256 of the file that is here. Raises OSError where it cannot be read."""
        return sha256_of(self.path, lock_file())

    def expected(self) -> str | None:
        """SHA-256 that it should have: the pinned one, or the one noted when it was fetched."""
        return self.sha256 or fetched_hashes().get(self.name)


def _openai_clip(name: str, sha256: str) -> WeightsFile:
    return WeightsFile(f"clip_model/{name}.pt", f"{CLIP}/{sha256}/{name}.pt", sha256)


VBENCH_DIMENSIONS: Mapping[str, tuple[WeightsFile, ...]] = {
    "subject_consistency": (
        WeightsFile(
            DINO_WEIGHTS,
            "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
            "bf34ad0f424b9029b593e8dc3ed553bf26e88bcba0d32bf3e62a6209cb64c85e",
        ),
        # The network itself: VBench clones the whole repository, of which it runs these.
        *(
            WeightsFile(f"{DINO_CODE}/{name}", f"{DINO}/{DINO_COMMIT}/{name}")
            for name in ("hubconf.py", "vision_transformer.py", "utils.py")
        ),
    ),
    "background_consistency": (
        _openai_clip(
            "ViT-B-32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
        ),
    ),
    "temporal_flickering": (),
    "motion_smoothness": (
        WeightsFile(
            "amt_model/amt-s.pth", "https://huggingface.co/lalala125/AMT/resolve/main/amt-s.pth"
        ),
    ),
    "dynamic_degree": (
        # VBench unpacks it from an archive of its authors; this is the same file.
        WeightsFile(
            "raft_model/models/raft-things.pth",
            "https://github.com/sczhou/ProPainter/releases/download/v0.1.0/raft-things.pth",
            "fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1",
        ),
    ),
    "aesthetic_quality": (
        _openai_clip(
            "ViT-L-14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
        ),
        WeightsFile(
            "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",
            "https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/sa_0_4_vit_l_14_linear.pth",
        ),
    ),
    "imaging_quality": (
        WeightsFile(
            "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",
            "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/musiq_spaq_ckpt-358bb6af.pth",
            "358bb6af275e28ea56821d44fb55c6cb83645db11f394d3ad65b2d149965ab50",
        ),
    ),
}
"""VBench's custom-input dimensions, each with the files that it needs."""


def vbench_cache() -> Path:
    """Where VBench keeps its weights: VBENCH_CACHE_DIR, or ~/.cache/vbench."""
    return Path(os.environ.get("VBENCH_CACHE_DIR") or Path.home() / ".cache" / "vbench").absolute()


def lock_file() -> Path:
    """Where hashes of these files are noted."""
    return vbench_cache() / LOCK


def fetched_hashes() -> dict[str, str]:
    """SHA-256 that files had when they were fetched, by their names."""
    noted = read_lock(lock_file()).get("fetched")
    return {name: str(found) for name, found in noted.items()} if isinstance(noted, dict) else {}


def words() -> dict[str, list[WeightsFile]]:
    """What `make weights QUALITY=` knows: vbench, and vbench/DIMENSION."""
    found = {f"vbench/{name}": list(files) for name, files in VBENCH_DIMENSIONS.items() if files}
    every = [file for files in found.values() for file in files]
    return {"vbench": every, **found}


def missing_weights(dimension: str) -> list[str]:
    """Weights of a dimension that are not here, as paths below `vbench_cache()`."""
    return [file.name for file in VBENCH_DIMENSIONS[dimension] if not file.path.is_file()]


def missing_package() -> str:
    """What installs the package vbench, in one line; "" where it is installed."""
    return "" if find_spec("vbench") else "the package vbench is absent, get it by make setup"


def lacking(dimension: str) -> str:
    """Why a dimension cannot run here, in one line; "" where it can."""
    if missing := missing_package():
        return missing
    if files := missing_weights(dimension):
        return f"weights {', '.join(files)} absent, get them by {COMMAND}"
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
                f"{str(expected)[:12]}...), replace them by {COMMAND}"
            )
    return ""
