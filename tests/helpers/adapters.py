"""What the tests of the generators' adapters share: requests, folders without weights."""

import json
from contextlib import contextmanager

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
    """A machine on which nothing was ever downloaded."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
