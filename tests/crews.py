"""Jobs that worker processes of tests make anew: spawned processes import them from here."""

from __future__ import annotations

import atexit
import os
import signal
import time
from functools import partial
from pathlib import Path

from benchmarks.running.cells import Cell, Key, Outcome, Watch
from benchmarks.running.folder import RunFolder
from benchmarks.running.store import CellStore
from benchmarks.running.workers import Job
from spf.errors import SpfError


def compute(folder: Path, clip: str, _: Watch) -> Outcome:
    """What cells do, by the beginning of their name: die, fail, or give a number."""
    with open(folder / f"{clip}.log", "a") as file:
        file.write(f"{os.getpid()}\n")
    if clip.startswith("poison"):
        os.kill(os.getpid(), signal.SIGKILL)
    if clip.startswith("slow to leave"):
        atexit.register(leave, folder)
    if clip.startswith("bad"):
        raise SpfError("bad: it cannot be measured; choose another")
    return Outcome({"linearity_mae": float(len(clip))}, files={f"curves/{clip}.csv": clip.encode()})


def leave(folder: Path) -> None:
    """What takes long when a process ends."""
    (folder / "leaving").touch()
    time.sleep(1)
    (folder / "left").touch()


def make(folder: Path, clips: list[str], inputs: object = "same") -> Job:
    """A job of one cell a clip."""
    cells = [
        Cell(Key("test", clip, "tiny", "model"), {"inputs": inputs}, partial(compute, folder, clip))
        for clip in clips
    ]
    return Job(cells, CellStore(folder / "cells", RunFolder(folder / "run"), "hash"), {})


def begun(folder: Path, clip: str) -> int:
    """How often the computation of a clip was begun."""
    log = folder / f"{clip}.log"
    return len(log.read_text().splitlines()) if log.exists() else 0
