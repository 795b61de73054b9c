"""What determined a result: versions, commit, device and hashes of code, files and settings."""

import json
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

from spf.identity import digest as digest
from spf.identity import file_digest as file_digest
from spf.identity import installed

ROOT = Path(__file__).resolve().parent.parent.parent

PACKAGES = (
    *("numpy", "scipy", "av", "opencv-python-headless", "pillow", "scikit-image", "pandas"),
    *("matplotlib", "torch"),
)
"""Distributions whose version can move a number or an image."""


@lru_cache
def versions() -> dict[str, str]:
    """Versions of Python and of `PACKAGES`."""
    return {"python": platform.python_version()} | installed(*PACKAGES)


@lru_cache
def commit() -> tuple[str, bool]:
    """Commit of this checkout and whether files differ from it; ("unknown", False) without git."""

    def git(*args: str) -> str:
        environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
        command = ["git", "-C", str(ROOT), *args]
        return subprocess.check_output(
            command, text=True, stderr=subprocess.DEVNULL, env=environment
        ).strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD"), bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


def provenance(config_hash: str, device: str) -> dict[str, Any]:
    """The columns of a record that say where it comes from."""
    head, dirty = commit()
    return {
        "config_hash": config_hash,
        "commit": head,
        "dirty": dirty,
        "device": device,
        "versions": json.dumps(versions(), sort_keys=True),
    }
