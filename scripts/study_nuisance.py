"""Ways to measure progress that a camera does not fool, side by side on the same clips.

    python scripts/study_nuisance.py embed tiny FOLDER
    python scripts/study_nuisance.py embed efficientnet FOLDER [CLIPS]
    python scripts/study_nuisance.py tables FOLDER/tiny

`embed` renders each clip, embeds its frames and their views (each frame's for tiny; of nine frames
for efficientnet), those of the stabilised clip too, and keeps the vectors: a second start goes on.
CLIPS is a folder METHOD/PAIR.mp4 of real morphs, moved by rendered cameras. `tables` prints what
docs/concepts/nuisance.md has, as Markdown. tiny takes some 20 minutes of a core, efficientnet two
hours.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import cv2
import numpy as np
import pandas as pd
from nuisance_methods import METHODS, band
from numpy.typing import NDArray

from benchmarks.known_pacing.errors import calibrate
from spf.embedders import load_embedder
from spf.embedders.base import Embedder, embed_clip
from spf.embedders.views import CAMERA, FRAMES, LIGHT
from spf.progress import Curve
from spf.progress.curve import Settings
from spf.progress.fit import _fit_angles
from spf.progress.metrics import mean_absolute
from spf.progress.solver import RIDGE, SIGMA, WINDOW, System
from spf.video import Reader
from synthetic.clips import FIRST_HELD_OUT_SEED, Still, SyntheticClip, content
from synthetic.laws import law
from synthetic.motion import motion

Image = NDArray[np.uint8]

SCENES = (
    "shape-drop-gear", "shape-crescent-bolt", "colour-pink-teal", "material-jade-copper",
    "texture-waves-cells", "count-4-11", "arrangement-scatter-pyramid", "composition-snow-volcano",
)  # fmt: skip
PHOTOGRAPHS = (
    "moon-tissue-dissolve", "brick-cat-warp", "motorcycle-page-warp", "cat-motorcycle-patches",
    "cat-motorcycle-warp", "moon-tissue-warp",
)  # fmt: skip
EFFICIENTNET = ("brick-cat-warp", "motorcycle-page-warp", "moon-tissue-dissolve")
MORPHS = ("diffmorpher/dog", "diffmorpher/van_jeep", "dgp/mona_pearl")
KINDS = (
    "translation", "rotation", "zoom", "shake", "parallax", "distractor", "lighting", "noise",
    "compression",
)  # fmt: skip
STRENGTHS = ("moderate", "strong")
STEEPNESS = (2, 5, 10, 20, 40, 80, 160)
BORDER = 0.15
"""Share of a real clip's shown side that its frames have on each side for a camera to see."""


# ------------------------------------------------------------------------------------- clips


@dataclass(frozen=True)
class Footage:
    """A real morph as content: p in 0 .. 1 is its frame number."""

    path: Path
    held_out: bool = True

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}_{self.path.stem}"

    def identity(self) -> dict[str, str]:
        return {"footage": self.name}

    def layers(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> None:
        """None: a clip is one layer."""

    def painter(
        self, size: tuple[int, int], margin: int = 0, seed: int = 0
    ) -> Callable[[float], Image]:
        with Reader(self.path) as reader:
            frames = [image for image, _ in reader]
        border = round(BORDER * min(size))
        whole = (size[1] + 2 * border, size[0] + 2 * border)

        def paint(p: float) -> Image:
            frame = cv2.resize(frames[round(p * (len(frames) - 1))], whole, None, 0, 0, 2)
            more = max(margin - border, 0)
            cut = max(border - margin, 0)
            frame = frame[cut : frame.shape[0] - cut, cut : frame.shape[1] - cut]
            return np.asarray(cv2.copyMakeBorder(frame, *(more,) * 4, cv2.BORDER_REFLECT_101))

        return paint


def clips(embedder: str, folder: Path | None) -> Iterator[tuple[str, SyntheticClip]]:
    """Names CONTENT@KIND and clips: the even morph, the still content under each motion, and a
    ladder of jumps under none, a moderate and a strong camera path."""
    small = embedder == "efficientnet"
    frames, size = (31, (224, 224)) if small else (41, (128, 128))
    contents: list[Any] = [
        content(name) for name in (EFFICIENTNET if small else (*SCENES, *PHOTOGRAPHS))
    ]
    if folder is not None:
        contents = [Footage(folder / f"{name}.mp4") for name in MORPHS] + contents
    kinds = [k for k in KINDS if not small or k not in ("parallax", "noise", "compression")]
    for seed, one in enumerate(contents, start=FIRST_HELD_OUT_SEED):
        even = SyntheticClip(one, num_frames=frames, size=size, seed=seed)
        still = replace(even, content=Still(one))
        yield f"{one.name}@even", even
        yield f"{one.name}@still", still
        for kind in kinds:
            for strength in STRENGTHS:
                moved = replace(still, motion=motion(kind, strength))
                yield f"{one.name}@still-{kind}-{strength}", moved
        for camera in ("none", *STRENGTHS):
            path = None if camera == "none" else motion("translation", camera)
            for steepness in STEEPNESS[::2] if small else STEEPNESS:
                jump = law("sigmoid_jump", steepness=steepness)
                name = f"{one.name}@jump-{camera}-{steepness}"
                yield name, replace(even, law=jump, motion=path)


def stabilised(frames: list[Image]) -> list[Image]:
    """Frames as the camera of the middle one would see them, cut to what all of them show.

    From frame to frame an affine motion by ECC (Evangelidis and Psarakis 2008), at 160 pixels; one
    that is not found counts as none. Never cut to less than half of the side.
    """
    height, width = frames[0].shape[:2]
    scale = min(1.0, 160 / max(height, width))
    grey = [
        cv2.resize(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale) for x in frames
    ]
    to_small = np.diag([scale, scale, 1.0])
    views = [np.eye(3)]
    for before, after in pairwise(grey):
        step, found = np.eye(3), np.eye(2, 3, dtype=np.float32)
        try:
            _, found = cv2.findTransformECC(
                before, after, found, cv2.MOTION_AFFINE, (3, 40, 1e-4), None, 5
            )
            step[:2] = found
        except cv2.error:
            pass
        views.append(np.linalg.inv(to_small) @ step @ to_small @ views[-1])
    middle = np.linalg.inv(views[len(views) // 2])
    flags, seen, shown = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, [], np.full((height, width), 255)
    for frame, view in zip(frames, views, strict=True):
        matrix = (view @ middle)[:2]
        seen.append(
            cv2.warpAffine(frame, matrix, (width, height), None, flags, cv2.BORDER_REFLECT_101)
        )
        inside = np.full((height, width), 255, np.uint8)
        shown &= cv2.warpAffine(inside, matrix, (width, height), None, flags)
    rows, columns = np.nonzero(shown > 254)
    centre = (rows.mean(), columns.mean()) if len(rows) else (height / 2, width / 2)
    for share in np.linspace(1.0, 0.5, 26):
        sides = int(height * share), int(width * share)
        top, left = (
            round(np.clip(c - side / 2, 0, full - side))
            for c, side, full in zip(centre, sides, (height, width), strict=True)
        )
        box = np.s_[top : top + sides[0], left : left + sides[1]]
        if (shown[box] > 254).all():
            break
    return [image[box] for image in seen]


def embed(embedder: Embedder, folder: Path, footage: Path | None) -> None:
    """Keep the vectors of every clip as FOLDER/CLIP.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, clip in clips(embedder.name, footage):
        path = folder / f"{name}.npz"
        if path.exists():
            continue
        frames = list(clip.frames())
        count = len(frames)
        every = embedder.name != "efficientnet"
        at = np.arange(count) if every else np.linspace(0, count - 1, FRAMES).round().astype(int)
        started = process_time()
        z = vectors(embedder, frames)
        plain = process_time()
        seen = [vectors(embedder, [view.of(frames[i]) for i in at]) for view in CAMERA + LIGHT]
        viewed = process_time()
        zs = vectors(embedder, stabilised(frames))
        seconds = {"tz": plain - started, "tv": viewed - plain, "tstab": process_time() - viewed}
        partial = path.with_suffix(".partial.npz")
        data = {"z": z, "v": np.stack(seen, axis=1), "at": at, "zs": zs, "truth": clip.truth()}
        np.savez(partial, **data, **seconds)
        partial.rename(path)
        print(name, flush=True)


def vectors(embedder: Embedder, frames: list[Image]) -> NDArray[np.float32]:
    """Unit vectors (T, D) float32."""
    return embed_clip(np.stack(frames), embedder).vectors


# ------------------------------------------------------------------------------------ tables


def measured(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of clips that stand still (leakage, and what survives), and of jumps."""
    still, jumps = [], []
    for even in sorted(folder.glob("*@even.npz")):
        name = even.name.partition("@")[0]
        found = {
            path.stem.partition("@")[2]: dict(np.load(path))
            for path in folder.glob(f"{name}@*.npz")
        }
        count = len(found["even"]["z"])
        u = np.linspace(0.0, 1.0, count)
        system = System.build(count, WINDOW, SIGMA, RIDGE)
        settings = Settings(WINDOW, SIGMA, RIDGE, 1.0, "gradient", "none")
        reference = _fit_angles(band(found["even"]["z"])[None], [u], system, settings)[0]
        for label, method in METHODS.items():
            curves: dict[str, Curve] = {}
            for key, data in found.items():
                if (angles := method(data)) is not None:
                    curves[key] = _fit_angles(angles[None], [u], system, settings)[0]
            if not curves:
                continue
            whole = curves["even"].total_change
            share = whole / reference.total_change
            still.append({"method": label, "kind": "survives", "strength": "", "value": share})
            for key, curve in curves.items():
                kind, _, rest = key.partition("-")
                if kind == "still" and rest:
                    motion_kind, _, strength = rest.partition("-")
                    row = {"kind": motion_kind, "strength": strength}
                    value = curve.total_change / whole
                    still.append(
                        {"method": label, **row, "value": value, "quiet": not curve.changes}
                    )
                elif kind == "jump":
                    truth = found[key]["truth"]
                    camera, steepness = rest.split("-")
                    step = int(np.argmax(np.diff(curve.fitted)))
                    jumps.append({
                        "method": label, "camera": camera, "steepness": int(steepness),
                        "raw": mean_absolute(curve.progress - truth, u),
                        "calibrated": calibrate(
                            curve.progress, truth, u, curves["even"].progress
                        ).error,
                        "measured": mean_absolute(curve.progress - u, u),
                        "true": mean_absolute(truth - u, u),
                        "jump": abs(step + 0.5 - (count - 1) / 2),
                    })  # fmt: skip
    return pd.DataFrame(still), pd.DataFrame(jumps)


def ordered(values: pd.DataFrame) -> pd.DataFrame:
    """Columns in the order in which they are listed above."""
    known = ["survives", *KINDS, "", "none", *STRENGTHS]
    places = {name: place for place, name in enumerate(known)}
    keys = [tuple(places[x] for x in (c if isinstance(c, tuple) else (c,))) for c in values]
    return values.iloc[:, sorted(range(len(keys)), key=keys.__getitem__)]


def table(values: pd.DataFrame, places: int = 3) -> str:
    """Markdown, a row for each method."""
    values = ordered(values)
    heads = [" ".join(filter(None, map(str, x))) if isinstance(x, tuple) else x for x in values]
    lines = ["| | " + " | ".join(heads) + " |", "|" + " --- |" * (len(heads) + 1)]
    for label, row in values.iterrows():
        cells = ["-" if np.isnan(x) else f"{x:.{places}f}" for x in row]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def print_tables(folder: Path) -> None:
    still, jumps = measured(folder)
    by = ["kind", "strength"]
    leak = still.groupby(["method", *by], sort=False)["value"].median().unstack(by)
    print(f"\nLeakage, medians of {len(list(folder.glob('*@even.npz')))} contents\n\n{table(leak)}")
    quiet = still[still["kind"] == "noise"].groupby(["method", "strength"], sort=False)["quiet"]
    if len(quiet):
        found = quiet.mean().astype(float).unstack()
        print(f"\nShare of still clips with noise: no semantic change\n\n{table(found, 2)}")
    ends = jumps.groupby(["method", "camera"], sort=False)
    for column in ("raw", "calibrated"):
        print(f"\n{column} error\n\n{table(ends[column].median().unstack())}")
    ranks = ends[["measured", "true"]].apply(
        lambda x: x["measured"].corr(x["true"], method="spearman")
    )
    print(f"\nSpearman's correlation on the ladder\n\n{table(ranks.unstack())}")
    sharp = jumps[jumps["steepness"] >= 40].groupby(["method", "camera"], sort=False)
    print(f"\nFrames from the jump\n\n{table(sharp['jump'].median().unstack(), 1)}")
    cost = [np.load(path) for path in folder.glob("*.npz")]
    views = np.median([x["tv"] / len(x["v"]) * FRAMES / x["tz"] for x in cost])
    steady = np.median([x["tstab"] / x["tz"] for x in cost if "tstab" in x])
    frames = len(cost[0]["z"])
    print(f"\nseconds over those of the plain curve, {frames} frames: views of nine frames "
          f"{1 + views:.2f}, stabilised {steady:.2f}")  # fmt: skip


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["embed", name, folder, *more]:
            footage = Path(more[0]) if more else None
            embed(load_embedder(name), Path(folder) / name, footage)
        case ["tables", folder]:
            print_tables(Path(folder))
        case _:
            sys.exit(__doc__)
