"""Hashes of plain data, files and code, and versions of packages: what identities are made of."""

import hashlib
import json
from functools import lru_cache
from importlib import import_module
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


def installed(*packages: str) -> dict[str, str]:
    """Versions of distributions by their names; "absent" for those that are not there."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
