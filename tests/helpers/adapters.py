"""What the tests of the generators' adapters share: requests, folders without weights."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import huggingface_hub
import pipelines

from spf.generators.base import Request

FIRST, LAST = pipelines.frames(32, 48)


def asked(**more):
    settings = {"first": FIRST, "last": LAST, "prompt": "a cat", "num_frames": 9, "steps": 2}
    return Request(**(settings | more))


@contextmanager
def calls(module, note=dict):
    """What `note` makes of the keyword arguments of each call of a module meanwhile."""
    seen = []

    def hook(_, inputs, named):
        seen.append(note(named))

    with module.register_forward_pre_hook(hook, with_kwargs=True):
        yield seen


def index(folder, **more):
    """A folder that says it is a pipeline, with one component and no weights."""
    kinds = {"transformer": ["diffusers", "WanTransformer3DModel"], "image_encoder": [None, None]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "X", **kinds, **more}))
    (folder / "transformer").mkdir(exist_ok=True)
    return folder


def empty_hub(monkeypatch, folder):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))


COMMIT = "1" * 40


def online_hub(monkeypatch, root, fill):
    """A stand-in for the hub; fill : (folder of a snapshot, repository, patterns of files)."""

    def snapshot_download(repo, revision, allow_patterns):
        assert revision == COMMIT
        folder = root / f"models--{repo.replace('/', '--')}" / "snapshots" / revision
        folder.mkdir(parents=True, exist_ok=True)
        fill(folder, repo, allow_patterns)
        return str(folder)

    empty_hub(monkeypatch, root)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    about = SimpleNamespace(sha=COMMIT, siblings=[])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: about)
