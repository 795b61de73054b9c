"""Tiny clips, runs in this process (tenths of a second for a clip), and commands as processes."""

import io
import os
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import clips
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.harness import commandline, session

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
RUN = [sys.executable, str(ROOT / "run.py")]
SPF = [sys.executable, "-m", "spf.cli"]
TINY = (
    "benchmark=synthetic_pacing", "benchmark.contents=[shape-drop-gear]", "benchmark.seeds=[1000]",
    "benchmark.studies=[floor]", "benchmark.num_frames=11", "benchmark.size=[32,32]",
    "embedder=histogram", "logger=csv",
)  # fmt: skip
"""The smallest run of rendered clips."""
TABLES = ("records.csv", "records.parquet", "leaderboard.csv", "leaderboard.md", "clips.csv")


def picture(seed, size=32):
    cells = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cells.repeat(size // 4, axis=0).repeat(size // 4, axis=1)


def dissolve(shares, seed=0, size=32):
    """Frames between two pictures: frame k shows the share `shares[k]` of the second one."""
    first, last = (picture(2 * seed + k, size).astype(np.float64) for k in (0, 1))
    return [np.rint(first + share * (last - first)).astype(np.uint8) for share in shares]


def slow_ends(count=25):
    u = np.linspace(0, 1, count)
    return dissolve(np.where(u < 0.5, 4 * u**3, 1 - 4 * (1 - u) ** 3))


def levels(frames):
    """Share (T,) of the dissolve with seed 0 that is done in frames, by least squares."""
    first, last = (picture(k).astype(float).ravel() for k in (0, 1))
    return (frames.reshape(len(frames), -1) - first) @ (last - first) / ((last - first) ** 2).sum()


def uneven(frames):
    return float(np.abs(levels(frames) - np.linspace(0, 1, len(frames))).mean())


def steady(count=12, seed=0, power=1.0):
    """A dissolve of which the share (k / (count - 1)) ** power is done at frame k."""
    return dissolve(np.linspace(0.0, 1.0, count) ** power, seed)


def jumping(count=12, seed=0):
    """A dissolve that happens within three frames in the middle."""
    return dissolve(np.clip((np.arange(count) - count // 2 + 2) / 4, 0, 1), seed)


def still(count=12, seed=0):
    return dissolve([0.0] * count, seed)


def save(path, frames, rate=12):
    """A video without B-frames; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return clips.encode(path, frames, rate=rate, options={"crf": "10", "bf": "0"})


def layout(root, generators):
    for generator, pairs in generators.items():
        for pair, frames in pairs.items():
            save(root / generator / f"{pair}.mp4", frames)
    return root


def two_generators(root, pairs=2):
    """The generator `even` beside `jumpy`, on the same pairs."""
    made = {
        name: {f"pair{seed}": frames(seed=seed) for seed in range(pairs)}
        for name, frames in (("even", steady), ("jumpy", jumping))
    }
    return layout(root, made)


def compose(*overrides):
    named = {word.partition("=")[0] for word in overrides}
    usual = {"embedder": "tiny", "logger": "csv", "workers": "1"}
    words = [f"{name}={value}" for name, value in usual.items() if name not in named]
    return commandline.compose(commandline.parse([*overrides, *words]).overrides)


def leaderboard_words(folder, output, *more):
    words = ["benchmark=leaderboard", "model=folder", f"model.path={folder}", f"output={output}"]
    return [*words, *more]


def run(folder, output, *more):
    return session.run(compose(*leaderboard_words(folder, output, *more)), quiet=True)


def environment(**more):
    """Variables for a command: no W&B account, one thread for each of the libraries."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    return kept | {"WANDB_SILENT": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | more


def command(*words, cwd=ROOT, timeout=120, **more):
    return subprocess.run(
        words, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=timeout
    )


def start(*words, cwd=ROOT, talk=False):
    """A command in a process group of its own, with a pipe to its input if it is to talk. In the
    background of a script SIGINT is ignored, which processes inherit; a handler is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pipes = dict.fromkeys(("stdout", "stderr", "stdin")[: 2 + talk], subprocess.PIPE)
    try:
        return subprocess.Popen(
            words, cwd=cwd, env=environment(), text=True, start_new_session=True, **pipes
        )
    finally:
        signal.signal(signal.SIGINT, before)


def touch(root, *names):
    """Files of one byte, and the folders that they lie in, under a root."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def check_one_line(text):
    """The text of an error, checked to be one line for a person and no traceback."""
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    return lines[0]


def only_run(output):
    (folder,) = (output / "runs").iterdir()
    return folder


def tables(folder):
    """The bytes of a run's tables that must repeat exactly."""
    return {name: (folder / name).read_bytes() for name in TABLES}


def read_records(folder):
    return pd.read_parquet(folder / "records.parquet")


def blank(*_, **__):
    """A picture in place of a plot, where plots are not the subject: they take most of the time."""
    Image.new("RGB", (2, 2)).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def without_plots(monkeypatch):
    monkeypatch.setattr("benchmarks.harness.measuring.plot_measurement", blank)
    monkeypatch.setattr("benchmarks.leaderboard.figures.plot_overlay", blank)


class Linear:
    """A stand-in embedder that calls no library: the mean colour and a constant."""

    name = "linear"
    control = True
    batch_size = 4

    def __init__(self, encode=None):
        self.encoded = 0
        self._encode = encode

    def prepare(self, image):
        return image.reshape(-1, 3).mean(axis=0)

    def encode(self, batch):
        self.encoded += len(batch)
        if self._encode is not None:
            return self._encode(batch)
        return np.concatenate([batch, np.full((len(batch), 1), 255.0)], axis=1).astype(np.float32)

    def identity(self):
        return {"embedder": self.name}


class Page(HTMLParser):
    """What a page holds: its tags with attributes, its visible text, its tables' cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.rows, self._inside = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside.append("cell")

    def handle_endtag(self, tag):
        if tag in ("script", "style", "td", "th"):
            self._inside.pop()

    def handle_data(self, data):
        if self._inside and self._inside[-1] == "cell":
            self.rows[-1][-1] += data
        if not self._inside or self._inside[-1] == "cell":
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]
