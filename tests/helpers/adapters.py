"""What the tests of the generators' adapters share: requests, and folders without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pipelines
import pytest

from spf.generators.base import Request

FIRST, LAST = pipelines.frames(32, 48)


def asked(**more: Any) -> Request:
    settings = {"first": FIRST, "last": LAST, "prompt": "a cat", "num_frames": 9, "steps": 2}
    return Request(**(settings | more))


def one_line(caught: pytest.ExceptionInfo[BaseException]) -> None:
    assert "\n" not in str(caught.value)


def index(folder: Path, **more: Any) -> Path:
    """A folder that says it is a pipeline, with one component and no weights."""
    kinds = {"transformer": ["diffusers", "WanTransformer3DModel"], "image_encoder": [None, None]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "X", **kinds, **more}))
    (folder / "transformer").mkdir(exist_ok=True)
    return folder
