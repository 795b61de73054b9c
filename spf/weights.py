"""Published weights: which files of which repository, where they are here, their hashes.

Nothing is downloaded here: `scripts/fetch_weights.py` (make weights) does that, into the cache of
the Hugging Face hub (HF_HOME, HF_HUB_CACHE), which all loaders share. A lock file beside the files
has the commit that was taken, and the hashes of files by size and time of change, so that gigabytes
are read once. Pinned commits and hashes were copied from public records, not computed by us.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spf.files import write_atomic
from spf.identity import file_digest

LOCK = ".spf-lock.json"
MAKEFILE = Path(__file__).resolve().parent.parent / "Makefile"


@dataclass(frozen=True)
class Pin:
    """Files of a repository of the hub; `weights` is the large one among them.

    revision : commit, or None where none is known. sha256 : of the weights file, or None.
    """

    repo: str
    weights: str
    others: tuple[str, ...]
    revision: str | None = None
    sha256: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        return *self.others, self.weights

    @property
    def lock(self) -> Path:
        return lock_of(self.repo)

    def find(self) -> Path | None:
        """The snapshot in the cache that holds all files; its name is its commit."""
        return find_snapshot(self.repo, self.files, self.revision)


_OPEN_CLIP = "open_clip_model.safetensors", ("open_clip_config.json",)
_DINOV2 = "model.safetensors", ("config.json", "preprocessor_config.json")

# fmt: off
# The first of each family is its default. SigLIP 2 but for `siglip1-`.
EMBEDDER_PINS: Mapping[str, Mapping[str, Pin]] = {
    "siglip": {
        "b16-512": Pin("timm/ViT-B-16-SigLIP2-512", *_OPEN_CLIP),
        "b16-384": Pin("timm/ViT-B-16-SigLIP2-384", *_OPEN_CLIP),
        "b16-256": Pin("timm/ViT-B-16-SigLIP2-256", *_OPEN_CLIP,
            "fb14461786ff5cd7b18210817522546f28c7143a"),
        "b16-224": Pin("timm/ViT-B-16-SigLIP2", *_OPEN_CLIP,
            "eee10eff6dd8cabae2d7f379d4e8cfcd352030aa",
            "d0a51069d2fa6c95b371b3bffd2a2c765c1815004798ee99f075290dbca73041"),
        "l16-256": Pin("timm/ViT-L-16-SigLIP2-256", *_OPEN_CLIP,
            "da9426945c7c5acbd3afd0c158c8bb9cfd4d8cc0"),
        "l16-384": Pin("timm/ViT-L-16-SigLIP2-384", *_OPEN_CLIP),
        "l16-512": Pin("timm/ViT-L-16-SigLIP2-512", *_OPEN_CLIP),
        "so400m-384": Pin("timm/ViT-SO400M-16-SigLIP2-384", *_OPEN_CLIP,
            "fec784dabb3081a5f101fc74eefaf9d1ed08237b",
            "8ceec00df3c462d155d172933339cd9178a86bfab72f4458dbe84bd54f5ad026"),
        "so400m-512": Pin("timm/ViT-SO400M-16-SigLIP2-512", *_OPEN_CLIP),
        "siglip1-b16-512": Pin("timm/ViT-B-16-SigLIP-512", *_OPEN_CLIP,
            "5e6be3a658059f3036008b17ae50b80005861670",
            "d5d17ef569f2a8d1552f97d55a56bdfd1148144f8e702e19c20dd9f9c9c0e68b"),
    },
    "clip": {
        "b32-laion2b": Pin("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", *_OPEN_CLIP,
            "1a25a446712ba5ee05982a381eed697ef9b435cf",
            "ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6"),
        "l14-openai": Pin("timm/vit_large_patch14_clip_224.openai", *_OPEN_CLIP,
            "18d0535469bb561bf468d76c1d73aa35156c922b",
            "9ce2e8a8ebfff3793d7d375ad6d3c35cb9aebf3de7ace0fc7308accab7cd207e"),
    },
    "dinov2": {
        "base": Pin("facebook/dinov2-base", *_DINOV2,
            "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
            "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841"),
        "small": Pin("facebook/dinov2-small", *_DINOV2,
            "ed25f3a31f01632728cabb09d1542f84ab7b0056",
            "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1"),
        "large": Pin("facebook/dinov2-large", *_DINOV2,
            "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
            "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23"),
        "giant": Pin("facebook/dinov2-giant", *_DINOV2,
            "611a9d42f2335e0f921f1e313ad3c1b7178d206d",
            "917d3c470db999d32a312f8542149be91c7cbac61ee8fb4b67ae3d82b79ce21f"),
    },
}
# fmt: on


def fetch_command(kind: str, name: str, pin: Pin | None = None) -> str:
    """What fetches weights, NAME or NAME/VARIANT, on this machine.

    Without a checkout, the hub's own client fetches a pin: its hash is checked when it is used.
    """
    if pin is None or MAKEFILE.is_file():
        return f"make weights {kind.upper()}={name}"
    revision = f" --revision {pin.revision}" if pin.revision else ""
    return f"hf download {pin.repo} {' '.join(pin.files)}{revision}"


def cache_folder() -> Path:
    """Where the hub's client stores files."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def lock_of(repo: str) -> Path:
    """Where is noted what was fetched of a repository of the hub."""
    return cache_folder() / f"models--{repo.replace('/', '--')}" / LOCK


def find_snapshot(repo: str, files: Sequence[str], revision: str | None) -> Path | None:
    """The folder in the hub's cache that holds all these files, at a commit or else at the one that
    was noted when they were fetched; None where there is none."""
    from huggingface_hub import try_to_load_from_cache

    revision = revision or read_lock(lock_of(repo)).get("revision") or "main"
    found = [try_to_load_from_cache(repo, name, revision=revision) for name in files]
    here = [Path(path) for path in found if isinstance(path, str) and Path(path).is_file()]
    return here[0].parent if len(here) == len(files) else None


def sha256_of(file: Path, lock: Path) -> str:
    """SHA-256 of a file, from its lock file where size and time of change are those noted there.

    Raises OSError where the file cannot be read.
    """
    status = file.stat()
    seen = {"size": status.st_size, "changed": status.st_mtime_ns}
    name = str(file.relative_to(lock.parent))
    noted = read_lock(lock).get("files", {}).get(name)
    if isinstance(noted, dict) and noted == seen | {"sha256": noted.get("sha256")}:
        return str(noted["sha256"])
    digest = file_digest(file, "sha256")
    with suppress(OSError):  # a folder that may only be read: it is hashed again next time
        note(lock, files={name: seen | {"sha256": digest}})
    return digest


def read_lock(lock: Path) -> dict[str, Any]:
    """A lock file; empty where there is none, or where it makes no sense."""
    try:
        content = json.loads(lock.read_text())
        tables = (content.get(name, {}) for name in ("files", "fetched"))
        return content if all(isinstance(table, dict) for table in tables) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def note(lock: Path, **more: Any) -> None:
    """Add to a lock file, and to the tables in it. Raises OSError where it cannot be written."""
    content = read_lock(lock)
    for name, value in more.items():
        content[name] = content.get(name, {}) | value if isinstance(value, dict) else value
    write_atomic(lock, json.dumps(content, indent=1, sort_keys=True) + "\n")
