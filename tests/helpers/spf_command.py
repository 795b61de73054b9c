"""The command `spf` in this process: what it prints."""

from __future__ import annotations

import json
from typing import Any

import harness
import pytest

from spf.cli import main

Capture = pytest.CaptureFixture[str]
PIXELS = ("--embedder", "pixels")


def printed(capsys: Capture, *words: object, code: int = 0) -> str:
    """What a command prints to stdout; `code` is how it must end."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    return capsys.readouterr().out


def refused(capsys: Capture, *words: object, code: int = 2) -> str:
    """The one line of a command that cannot be done."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    return harness.check_one_line(capsys.readouterr().err)


def rows(capsys: Capture, *words: object, code: int = 0) -> list[dict[str, Any]]:
    """The rows that a command prints with --json; stdout holds nothing else."""
    document = json.loads(printed(capsys, *words, "--json", code=code))
    assert document["schema"] == f"spf.{words[0]}/1"
    found: list[dict[str, Any]] = document["rows"]
    return found
