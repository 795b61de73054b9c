"""The process in which VBench runs: its prints, its globals and its crashes stay in here.

    python -m spf.quality.child FOLDER DEVICE

Requests are lines of JSON on the standard input, replies lines of JSON on the standard output; all
that the package prints goes to the standard error. FOLDER holds the weights and is removed at the
end. The process ends at once when its input does: when the parent is done, or gone.
"""

import json
import math
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from spf.child import replies, requests
from spf.errors import one_line
from spf.quality.weights import CAMERA, COTRACKER_CODE, DINO_CODE, DREAMSIM_WEIGHTS, FIRST_FRAME
from spf.weights import fetch_command

I2V = "vbench2_beta_i2v"  # the package of image-to-video, which comes with vbench
LOADERS = {
    "background_consistency": ("clip", "load"),
    "motion_smoothness": ("vbench.motion_smoothness", "MotionSmoothness"),
    "dynamic_degree": ("vbench.dynamic_degree", "DynamicDegree"),
    "aesthetic_quality": ("clip", "load"),
    "imaging_quality": ("vbench.imaging_quality", "MUSIQ"),
}
"""What VBench calls for its models, anew for every list of clips; torch.hub it calls as well."""

REPOSITORIES = {"facebookresearch/dino": DINO_CODE, "facebookresearch/co-tracker": COTRACKER_CODE}
"""Where code lies that torch.hub would clone."""

MINIMAL_FRAMES = {
    "aesthetic_quality": 1, "imaging_quality": 1, "motion_smoothness": 3, "dynamic_degree": 3,
}  # fmt: skip
"""All others need 2. With fewer, VBench divides by zero or, in dynamic_degree, answers the same
whatever it sees: round(4 n / 16) frames must move, none of n = 2."""

# Multiples to which AMT and RAFT pad width and height.
PADDED = {"motion_smoothness": 16, "dynamic_degree": 8}
# Padded size below which the coarsest of their four correlation maps has a single row or column:
# sampling it divides by zero, and VBench silently makes a score of the NaN.
MINIMAL_PADDED = 128
SAMPLED_FPS = 8  # that dynamic_degree looks at


class Refused(Exception):
    """Why a dimension gives no score of a clip, now and always, in one line."""


def main(folder: str, device: str) -> None:
    send = replies()
    for request in requests(partial(shutil.rmtree, folder, ignore_errors=True)):
        send(**_reply(request.pop("dimension"), Path(request.pop("clip")), device, request))


def _reply(dimension: str, clip: Path, device: str, about: Mapping[str, str]) -> dict[str, Any]:
    """What became of a request: a value; or why the clip is refused, always; or what broke down."""
    import torch

    try:
        check_clip(dimension, clip)
        return {"value": score(dimension, clip, device, about)}
    except Refused as error:
        return {"refused": str(error)}
    except Exception as error:
        line = one_line(f"{type(error).__name__}: {error}".removesuffix(": "))
        if isinstance(error, OSError | MemoryError | ImportError | torch.OutOfMemoryError):
            return {"broke": line}
        return {"refused": f"VBench fails on this clip: {line}"}  # and would do so again


def check_clip(dimension: str, clip: Path) -> None:
    """Raises Refused for a clip that VBench would fail on, or make up a score for."""
    frames, height, width, fps = look(str(clip))
    if not frames:
        raise Refused("VBench reads no frame of it")
    if dimension == "dynamic_degree":
        frames = math.ceil(frames / max(1, round(fps / SAMPLED_FPS)))
    if frames < (least := MINIMAL_FRAMES.get(dimension, 2)):
        at = f" at {SAMPLED_FPS} frames a second" * (dimension == "dynamic_degree")
        raise Refused(f"it needs {least} frames{at}, this clip has {frames}")
    smallest = MINIMAL_PADDED - PADDED[dimension] + 1 if dimension in PADDED else 1
    if min(height, width) < smallest:
        has = f"this clip has {width} x {height}"
        raise Refused(f"it needs {smallest} x {smallest} pixels, {has}")


@lru_cache(maxsize=1)
def look(clip: str) -> tuple[int, int, int, float]:
    """Number, height and width of the frames as VBench reads them, and their rate."""
    import cv2

    video, frames, size = cv2.VideoCapture(clip), 0, (0, 0)
    fps = video.get(cv2.CAP_PROP_FPS)
    while (read := video.read())[0]:
        frames, size = frames + 1, read[1].shape[:2]
    video.release()
    return frames, *size, fps


def score(dimension: str, clip: Path, device: str, about: Mapping[str, str]) -> float:
    """What `vbench evaluate --mode custom_input` gives for a folder with this clip alone; and for a
    dimension of image-to-video what its function gives.

    about : `image`, the frame that the clip was generated from, or `camera`, the motion asked for.
    Raises Refused where that is no number, and whatever VBench raises.
    """
    import torch

    _prepare(dimension, device)
    with TemporaryDirectory() as made:
        # VBench reads meanings into names; and knows files by their suffix, in small letters.
        link = Path(made) / f"{about.get('camera', 'clip')}.mp4"
        link.symlink_to(clip)
        own = _image_to_video if dimension in (*FIRST_FRAME, CAMERA) else _custom_input
        results = own(dimension, link, torch.device(device), about)
    value = float(results[0])
    if not math.isfinite(value):
        raise Refused(f"VBench gives no number ({value})")
    return value


def _custom_input(dimension: str, clip: Path, device: Any, _: Mapping[str, str]) -> Any:
    from vbench import VBench

    evaluate = VBench(device, None, str(clip.parent)).evaluate
    evaluate(str(clip), "clip", dimension_list=[dimension], local=True, mode="custom_input")
    return json.loads((clip.parent / "clip_eval_results.json").read_text())[dimension]


def _image_to_video(dimension: str, clip: Path, device: Any, about: Mapping[str, str]) -> Any:
    """The package knows its own list of prompts and images alone: here it gets another one."""
    utils, module = import_module(f"{I2V}.utils"), import_module(f"{I2V}.{dimension}")
    entry = {"prompt_en": clip.stem, "dimension": [dimension], "video_list": [str(clip)]}
    listed = clip.parent / "clip_full_info.json"
    listed.write_text(json.dumps([entry | {"image_name": about.get("image")}]))
    asked = utils.init_submodules([dimension], local=True)[dimension]
    return getattr(module, f"compute_{dimension}")(str(listed), device, asked)


def _prepare(dimension: str, device: str) -> None:
    """Have each model loaded once, safely, and from the folder of weights alone."""
    import torch

    torch.set_num_threads(1)  # sums are rounded otherwise with another number
    _replace(torch, "load", tensors_only)
    _replace(torch.hub, "load", lambda load: cached(from_here(load)))
    _replace(torch.hub, "download_url_to_file", lambda _: not_fetched)
    if dimension == "i2v_background":
        _replace(import_module(f"{I2V}.i2v_background"), "dreamsim", partial(dreams, device=device))
    if dimension == CAMERA:  # the wheel lacks what draws tracks, which nobody asks for
        drawing = ModuleType(f"{I2V}.third_party.cotracker.utils.visualizer")
        drawing.Visualizer = None  # type: ignore[attr-defined]
        sys.modules.setdefault(drawing.__name__, drawing)
    if dimension in LOADERS:
        home, name = LOADERS[dimension]
        _replace(import_module(home), name, cached)


def _replace(home: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    current = getattr(home, name)
    if not getattr(current, "replaced", False):
        wrapped = wrap(current)
        wrapped.replaced = True
        setattr(home, name, wrapped)


def not_fetched(url: str, *_: Any, **__: Any) -> None:
    """In place of a download."""
    raise FileNotFoundError(f"{url} is not here, and nothing is fetched in a run")


def from_here(load: Callable[..., Any]) -> Callable[..., Any]:
    """torch.hub.load of repositories that lie in the folder of weights."""
    import torch

    def here(repo_or_dir: str, model: str, **kwargs: Any) -> Any:
        folder = Path(os.environ["VBENCH_CACHE_DIR"])
        if code := REPOSITORIES.get(repo_or_dir.partition(":")[0]):
            repo_or_dir, kwargs = str(folder / code), kwargs | {"source": "local"}
        torch.hub.set_dir(str(folder / "hub"))  # DreamSim moves it
        return load(repo_or_dir, model, **kwargs)

    return here


def dreams(load: Callable[..., Any], device: str) -> Callable[..., Any]:
    """dreamsim on a device, which VBench leaves at a GPU, and with the files that are here."""
    archive = Path(os.environ["VBENCH_CACHE_DIR"]) / DREAMSIM_WEIGHTS
    try:
        with zipfile.ZipFile(archive) as content:
            content.extractall(archive.parent)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        command = fetch_command("quality", "vbench")
        what = f"weights {DREAMSIM_WEIGHTS} are damaged ({one_line(error)})"
        raise Refused(f"{what}, remove them and get them again by {command}") from None
    return cached(partial(load, device=device, cache_dir=str(archive.parent)))


def cached(load: Callable[..., Any]) -> Callable[..., Any]:
    """A loader that gives the same model for the same arguments."""
    models: dict[str, Any] = {}

    def again(*args: Any, **kwargs: Any) -> Any:
        key = repr((args, sorted(kwargs.items())))
        if key not in models:
            models[key] = load(*args, **kwargs)
        return models[key]

    return again


class Inert:
    """Stands for whatever a file of weights holds beside tensors; does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


def tensors_only(load: Callable[..., Any]) -> Callable[..., Any]:
    """torch.load that runs no code of the file, whatever the caller wants.

    AMT's file holds more than tensors, at which a plain `weights_only` gives up.
    """
    import torch

    def safe(file: Any, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as stack:
            if isinstance(file, str | Path) and zipfile.is_zipfile(file):
                names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
                inert: list[Any] = [(Inert, name) for name in names]
                stack.enter_context(torch.serialization.safe_globals(inert))
            return load(file, *args, **kwargs | {"weights_only": True})

    return safe


if __name__ == "__main__":
    main(*sys.argv[1:])
