"""Hashes of plain data and files, and versions of packages: what identities are made of."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def canonical(value: Any) -> bytes:
    """Plain data (dicts, lists, numbers, strings) as JSON, the same bytes for the same data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def digest(value: Any) -> str:
    """Hash, 16 hexadecimal digits, of plain data."""
    return hashlib.blake2b(canonical(value), digest_size=8).hexdigest()


def file_digest(path: Path) -> str:
    """Hash of a file's bytes. Raises OSError where it is no regular file or cannot be read."""
    if not path.is_file():
        raise FileNotFoundError(path)  # opening a pipe would wait for ever
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def installed(*packages: str) -> dict[str, str]:
    """Versions of distributions by their names; "absent" for those that are not there."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
