"""Precision and recall of hard cuts, on films that are drawn from a folder of clips.

    .venv/bin/python scripts/evaluate_cuts.py CLIPS [EMBEDDER ...]

Every clip of the folder should show another scene. Films join parts of them, seen by a camera that
rests, pans, shakes or zooms, by cuts and by what is none. PySceneDetect's detectors are measured on
the same films where it can be imported; the project does not need it.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import spf
from spf.embedders import load_embedder
from spf.video import load, write_mp4

Frames = NDArray[np.uint8]
Film = tuple[Path, list[int]]

SIZE, RATE, EACH = (180, 256), 25, 16
"""(height, width) of the films, their frames a second, films of each kind."""
MOST = 300
"""Frames that are taken of each clip."""
KINDS = {
    "cut": "two scenes",
    "same scene": "one scene, mirrored or in close-up after the cut",
    "black": "cuts to 5 to 11 black frames, and to another scene",
    "short": "five shots of 4 to 9 frames",
    "dissolve": "over 4, 8 or 16 frames",
    "fade": "through black, over 6 to 13 frames each way",
    "flash": "1 or 2 bright frames",
    "light": "the light is dimmed within one frame",
    "motion": "one shot",
}


class Scenes:
    """Shots from clips, each of which shows a scene of its own."""

    def __init__(self, folder: Path) -> None:
        self.clips = [self._small(path) for path in sorted(folder.iterdir())]
        if len(self.clips) < 5:
            raise SystemExit(f"{folder}: at least 5 clips are needed, each of another scene")

    def shot(self, rng: np.random.Generator, which: int, count: int, close: float = 1.25) -> Frames:
        """`count` frames of a clip as a moving camera sees them; close : how large they are."""
        clip, t = self.clips[which], np.linspace(-0.5, 0.5, count)
        start = int(rng.integers(max(1, len(clip) - count)))
        x, y, zoom = np.full((3, count), 0.5)
        zoom = zoom * 2 * close
        kind = rng.choice(["rest", "pan", "shake", "zoom"])
        if kind == "pan":
            x = x + 0.12 * rng.choice([-1, 1]) * t
        elif kind == "shake":
            x, y = 0.5 + np.cumsum(rng.normal(0, 0.008, (2, count)), axis=1)
        elif kind == "zoom":
            zoom = zoom * (1.2 + 0.4 * t)
        at = np.minimum(start + np.arange(count), len(clip) - 1)
        views = zip(at, x, y, zoom, strict=True)
        return np.stack([_seen(clip[k], *view) for k, *view in views])

    @staticmethod
    def _small(path: Path) -> Frames:
        frames = load(path).frames[:MOST]
        height = round(SIZE[1] * frames.shape[1] / frames.shape[2])
        return np.stack(
            [cv2.resize(x, (SIZE[1], height), interpolation=cv2.INTER_AREA) for x in frames]
        )


def _seen(image: Frames, x: float, y: float, zoom: float) -> Frames:
    """A frame around its share (x, y), enlarged; the picture is mirrored outside."""
    height, width = image.shape[:2]
    scale = zoom * max(SIZE[0] / height, SIZE[1] / width)
    place = np.array(
        [[scale, 0, SIZE[1] / 2 - scale * x * width], [0, scale, SIZE[0] / 2 - scale * y * height]]
    )
    return cv2.warpAffine(image, place, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)


def film(kind: str, number: int, scenes: Scenes) -> tuple[Frames, list[int]]:
    """Frames of a film, and the frames at which its later shots begin."""
    rng = np.random.default_rng([list(KINDS).index(kind), number])
    a, b = rng.choice(len(scenes.clips), 2, replace=False)
    n, m = (int(count) for count in rng.integers(18, 36, 2))
    over = {"dissolve": (4, 8, 16)[number % 3], "fade": int(rng.integers(6, 14))}.get(kind, 0)
    first = scenes.shot(rng, a, n + over)
    if kind == "same scene":
        again = scenes.shot(rng, a, m)[:, :, ::-1] if number % 2 else scenes.shot(rng, a, m, 2.6)
        return np.concatenate([first, again]), [n]
    if kind == "short":
        lengths = rng.integers(4, 10, 5)
        chosen = rng.choice(len(scenes.clips), 5, replace=False)
        parts = [scenes.shot(rng, which, int(x)) for which, x in zip(chosen, lengths, strict=True)]
        return np.concatenate(parts), np.cumsum(lengths)[:-1].tolist()
    if kind in ("flash", "light", "motion"):
        share = np.zeros(n)
        if kind == "flash":
            share[n // 2 : n // 2 + 1 + number % 2] = rng.uniform(0.6, 0.95)
        if kind == "light":
            share[n // 2 :] = -rng.uniform(0.4, 0.65)
        return _lit(first, share), []
    second = scenes.shot(rng, b, m + over)
    if kind == "dissolve":
        share = ((np.arange(over) + 1) / (over + 1))[:, None, None, None]
        middle = np.rint(first[n:] * (1 - share) + second[:over] * share).astype(np.uint8)
        return np.concatenate([first[:n], middle, second[over:]]), []
    if kind == "fade":
        down = np.concatenate([np.zeros(n), -(np.arange(over) + 1) / over])
        up = np.concatenate([np.arange(over) / over - 1, np.zeros(m)])
        return np.concatenate([_lit(first, down), _lit(second, up)]), []
    if kind == "black":
        black = np.zeros((int(rng.integers(5, 12)), *SIZE, 3), np.uint8)
        return np.concatenate([first, black, second]), [n, n + len(black)]
    return np.concatenate([first, second]), [n]


def _lit(frames: Frames, share: NDArray[np.float64]) -> Frames:
    """Frames brought nearer to white by a share of each, or to black where it is negative."""
    share = share[:, None, None, None]
    made = frames * (1 - np.abs(share)) + 255.0 * np.maximum(share, 0)
    return np.rint(made).astype(np.uint8)


embedder = cache(load_embedder)


@cache
def curve(path: Path, word: str) -> spf.Curve:
    """A film measured by an embedder."""
    return spf.measure(path, embedder(word), cache=False)


def detectors(words: list[str]) -> Iterator[tuple[str, Callable[[Path], list[int]]]]:
    """Each by its name: the embedders, and PySceneDetect's with two lengths of a shortest scene."""
    for word in words:
        yield word, lambda path, word=word: curve(path, word).cuts
    if find_spec("scenedetect") is None:
        return
    scenedetect = import_module("scenedetect")
    for name in ("Content", "Adaptive", "Hash", "Histogram"):
        made = getattr(scenedetect.detectors, f"{name}Detector")
        for least in (15, 1):

            def found(path: Path, made=made, least: int = least) -> list[int]:
                scenes = scenedetect.detect(str(path), made(min_scene_len=least))
                return [start.frame_num for start, _ in scenes[1:]]

            yield f"{name}, {least}", found


def angles(films: dict[str, list[Film]], word: str) -> list[str]:
    """Radians: the largest separation in a film but at its cuts, where scenes neither dissolve nor
    fade nor dim; at cuts to other scenes; and at those within one scene."""
    inside, scenes, same = [], [], []
    for kind in ("cut", "same scene", "black", "short", "flash", "motion"):
        for path, cuts in films[kind]:
            found = curve(path, word).separation
            at = np.array(cuts, int) - 1
            inside.append(np.delete(found, at).max())
            (same if kind == "same scene" else scenes).extend(found[at])
    numbers = [np.quantile(inside, 0.9), max(inside), min(scenes), np.median(scenes)]
    return [f"{value:.2f}" for value in [*numbers, min(same), np.median(same)]]


def row(films: dict[str, list[Film]], found: Callable[[Path], list[int]]) -> list[str]:
    """Found cuts of all cuts, and false alarms, for each kind; then precision and recall."""
    cells, total = [], np.zeros(3, int)
    for kind in films:
        counts = np.zeros(3, int)
        for path, true in films[kind]:
            cuts = set(found(path))
            counts += len(cuts & set(true)), len(cuts - set(true)), len(set(true) - cuts)
        hits, false, missed = counts.tolist()
        cells.append(
            " ".join(
                [f"{hits} of {hits + missed}"] * bool(hits + missed) + [f"+{false}"] * bool(false)
            )
        )
        total += counts
    hits, false, missed = total.tolist()
    return [*cells, f"{hits / max(1, hits + false):.3f}", f"{hits / max(1, hits + missed):.3f}"]


def main() -> None:
    folder, *words = sys.argv[1:]
    words = words or ["tiny", "histogram", "pixels"]
    scenes = Scenes(Path(folder))
    with tempfile.TemporaryDirectory() as scratch:
        films: dict[str, list[Film]] = {kind: [] for kind in KINDS}
        for kind in KINDS:
            for number in range(EACH):
                frames, cuts = film(kind, number, scenes)
                path = Path(scratch) / f"{kind}-{number}.mp4"
                write_mp4(path, frames, RATE)
                films[kind].append((path, cuts))
        _table(["", *KINDS, "precision", "recall"])
        for name, found in detectors(words):
            print(f"| {name} | {' | '.join(row(films, found))} |", flush=True)
        heads = ["nine of ten films", "all", "other scenes, least", "median"]
        _table(["", *heads, "same scene, least", "median"])
        for word in words:
            print(f"| {word} | {' | '.join(angles(films, word))} |", flush=True)


def _table(heads: list[str]) -> None:
    print(f"\n| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")


if __name__ == "__main__":
    main()
