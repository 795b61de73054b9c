"""What determined a result: versions, commit, device and hashes of code, files and settings."""

import hashlib
import json
import os
import platform
import subprocess
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = (
    "numpy",
    "scipy",
    "av",
    "opencv-python-headless",
    "pillow",
    "scikit-image",
    "pandas",
    "matplotlib",
    "torch",
)
"""Distributions whose version can move a number or a picture."""


def digest(value: Any) -> str:
    """Hash, 16 hexadecimal digits, of plain data (dicts, lists, numbers, strings)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def file_digest(path: Path) -> str:
    """Hash of a file's bytes. Raises OSError where it is no regular file or cannot be read."""
    if not path.is_file():
        raise FileNotFoundError(path)  # opening a pipe would wait for ever
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


@lru_cache
def code_version(*packages: str) -> str:
    """Hash of the sources of packages or modules: a changed line makes another result."""
    parts = []
    for name in packages:
        module = import_module(name)
        folders = getattr(module, "__path__", None)
        sources = (
            sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
            if folders
            else [Path(str(module.__file__))]
        )
        parts += [[name, path.name, file_digest(path)] for path in sources]
    return digest(parts)


@lru_cache
def versions() -> dict[str, str]:
    """Versions of Python and of `PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


@lru_cache
def commit() -> tuple[str, bool]:
    """Commit of this checkout and whether files differ from it; ("unknown", False) without git."""
    command = ["git", "-C", str(ROOT)]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        head = subprocess.run(
            [*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        status = subprocess.run(
            [*command, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False
    return head.stdout.strip(), bool(status.stdout.strip())


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
