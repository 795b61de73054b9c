"""What the tests of the generators' adapters share: requests, folders without weights."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pipelines
import pytest

from spf.generators.base import Request

FIRST, LAST = pipelines.frames(32, 48)
COMMIT = "1" * 40


def asked(**more: Any) -> Request:
    settings = {"first": FIRST, "last": LAST, "prompt": "a cat", "num_frames": 9, "steps": 2}
    return Request(**(settings | more))


@contextmanager
def calls(module: Any, note: Callable[[dict[str, Any]], Any] = dict) -> Iterator[list[Any]]:
    """What `note` makes of the keyword arguments of each call of a module meanwhile."""
    seen: list[Any] = []
    handle = module.register_forward_pre_hook(
        lambda _, inputs, named: seen.append(note(named)), with_kwargs=True
    )
    try:
        yield seen
    finally:
        handle.remove()


def index(folder: Path, **more: Any) -> Path:
    """A folder that says it is a pipeline, with one component and no weights."""
    kinds = {"transformer": ["diffusers", "WanTransformer3DModel"], "image_encoder": [None, None]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "X", **kinds, **more}))
    (folder / "transformer").mkdir(exist_ok=True)
    return folder


def empty_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A machine on which nothing was ever downloaded."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))


def online_hub(
    monkeypatch: pytest.MonkeyPatch, root: Path, fill: Callable[[Path, str, list[str]], object]
) -> None:
    """A stand-in for the hub; fill : (folder of a snapshot, repository, patterns of files)."""
    import huggingface_hub

    def snapshot_download(repo: str, revision: str, allow_patterns: list[str]) -> str:
        assert revision == COMMIT
        folder = root / f"models--{repo.replace('/', '--')}" / "snapshots" / revision
        folder.mkdir(parents=True, exist_ok=True)
        fill(folder, repo, allow_patterns)
        return str(folder)

    empty_hub(monkeypatch, root)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda self, repo: SimpleNamespace(sha=COMMIT)
    )
