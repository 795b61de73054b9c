"""Jobs of small cells, which worker processes of tests import from here."""

import os
import signal
import time
from functools import partial

from loky import process_executor

from benchmarks.harness.cells import Cell, Key, Outcome
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.runner import Job
from benchmarks.harness.store import CellStore
from spf.errors import SpfError


def compute(folder, clip, _):
    """What cells do, by the beginning of their name: die, fail, wait, or give a number."""
    with open(folder / f"{clip}.log", "a") as file:
        file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
    if clip.startswith("poison"):
        os.kill(os.getpid(), signal.SIGKILL)
    if clip.startswith("weak") and begun(folder, clip) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if clip.startswith("bad"):
        raise SpfError("bad: it cannot be measured; choose another")
    if clip.startswith("leaky"):  # as for a worker whose memory grows: loky replaces it
        process_executor._MEMORY_LEAK_CHECK_DELAY = 0.0
        process_executor._MAX_MEMORY_LEAK_SIZE = -(10**12)
    if clip.startswith("slow"):
        time.sleep(1)
    return Outcome({"linearity_mae": float(len(clip))}, files={f"curves/{clip}.csv": clip.encode()})


def make(folder, clips):
    cells = [
        Cell(Key("test", clip, "tiny", "model"), {"clip": clip}, partial(compute, folder, clip))
        for clip in clips
    ]
    return Job(cells, CellStore(folder / "cells", RunFolder(folder / "run"), "hash"), {})


def statuses(results):
    return [record["status"] for record in results.records]


def begun(folder, clip):
    log = folder / f"{clip}.log"
    return len(log.read_text().splitlines()) if log.exists() else 0
