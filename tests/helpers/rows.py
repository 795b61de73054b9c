"""Records of leaderboards as a run writes them, with all that another machine checks."""

import json

import numpy as np

from benchmarks.harness.folder import RunFolder
from benchmarks.harness.records import SCHEMA, compile_tables
from spf import METRICS

SETTINGS = {"embedder": {"size": 64}, "fit": {"sigma": 20.0, "window": 30}, "sampling": {}}


def row(model="a", clip="p0", error=0.1, **more):
    """A finished clip with everything that a row of another machine has to have."""
    base = {
        "status": "done", "reason": "", "benchmark": "leaderboard", "clip": clip, "model": model,
        "embedder": "tiny", "retime": "none", "target": "linear", "seed": 0, "control": False,
        "frames": 81, "fps": 16.0, "duration": 5.0, "width": 64, "height": 64, "notes": "",
        "source": f"{model}/{clip}.mp4", "cell": f"{model}{clip}", "config_hash": "c" * 16,
        "commit": "d" * 40, "dirty": False, "device": "cpu", "weights_revision": "shipped",
        "weights_hash": "e" * 64, "settings": json.dumps(SETTINGS), "versions": '{"numpy": "2"}',
        "schema": SCHEMA, "curve": "curves/a.csv", "plot": "plots/a.png", "category": "",
        "input": "", "target_mae": None, "quality_identity": None,
    }  # fmt: skip
    metrics = {name: 1.0 for name in METRICS if name not in base}
    return base | metrics | {"linearity_mae": error} | more


def failed(model, clip):
    kept = ("benchmark", "embedder", "retime", "target", "seed", "control", "cell", "schema")
    kept += ("config_hash", "commit", "dirty", "device", "versions")
    whole = row(model, clip)
    return {name: whole[name] for name in kept} | {
        "model": model, "clip": clip, "status": "failed", "reason": "it is empty; remove it",
    }  # fmt: skip


def board(model, count, shift=0.0, **more):
    values = np.random.default_rng(1).gamma(3, 0.02, count) + 0.05
    return [row(model, f"p{k}", float(values[k] + shift), **more) for k in range(count)]


def stored(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    compile_tables(RunFolder(folder), rows)
    return folder
