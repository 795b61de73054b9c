"""Every generator in miniature, with random weights: what the contract of all generators runs on.

The miniature of a model lives in `miniature_NAME.py`. It has `save(folder) -> folder`, or, for a
model with several, VARIANTS and `save(folder, variant)`; and, where they apply, the names below.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import generators
import pipelines

from spf.generators import MODELS
from spf.generators.pipeline import DiffusersGenerator


@dataclass(frozen=True)
class Miniature:
    """save : (folder, variant) -> folder. variants : those that are tested. by_variant : whether
    the adapter takes them by that name. settings : of the adapter. first_only : variants that take
    no last frame. ignores : parts of a request that do not change the clip. absolute : why
    positions matter beyond their differences. changes : setting -> another value of it, for those
    whose default does not suggest one."""

    save: Callable[[Path, str], Path]
    variants: tuple[str, ...] = ("",)
    by_variant: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    first_only: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    absolute: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)


OWN = {
    "wan22": Miniature(
        pipelines.save_wan,
        ("i2v", "ti2v"),
        first_only=("ti2v",),
        changes={"guidance_scale_2": 2.0, "boundary_ratio": 0.5},
    ),
    "ltx2": Miniature(
        pipelines.save_ltx2,
        ("split", "interleaved"),
        by_variant=False,
        changes={"crf": 0, "stg_scale": 0.5, "modality_scale": 2.0}
        | {"guidance_rescale": 0.1, "motion_speed": 0.5},
    ),
    "tiny": Miniature(
        lambda folder, variant: generators.save_tiny(folder),
        ignores=("prompt", "negative_prompt", "guidance", "seed"),  # deaf to noise: see save_tiny
    ),
}


def kind(name: str) -> Any:
    module, _, attribute = MODELS[name].rpartition(".")
    return getattr(import_module(module), attribute)


@functools.cache
def miniature(name: str) -> Miniature | None:
    """That of a generator; None where nobody has written one."""
    if name in OWN:
        return OWN[name]
    if find_spec(f"miniature_{name}") is None:
        return None
    module = import_module(f"miniature_{name}")
    named = ("settings", "first_only", "ignores", "absolute", "changes")
    more = {key: getattr(module, key.upper()) for key in named if hasattr(module, key.upper())}
    if hasattr(module, "VARIANTS"):
        return Miniature(module.save, module.VARIANTS, **more)
    return Miniature(lambda folder, variant: module.save(folder), by_variant=False, **more)


def cases() -> list[str]:
    """NAME or NAME/VARIANT of each miniature, of all generators whose weights are files here."""
    names = [name for name in MODELS if issubclass(kind(name), DiffusersGenerator)]
    found = []
    for name in [*names, "tiny"]:
        one = miniature(name)
        found += [f"{name}/{variant}".rstrip("/") for variant in (one.variants if one else [""])]
    return found


def of(case: str) -> tuple[str, Miniature, str]:
    """Name, miniature and variant of a case; of wan22 and ltx2 the variant alone will do."""
    name, _, variant = case.partition("/")
    if name not in MODELS:
        name, variant = "ltx2" if name in OWN["ltx2"].variants else "wan22", name
    one = miniature(name)
    assert one is not None, f"write tests/helpers/miniature_{name}.py: see miniatures.py"
    return name, one, variant


def adapter(case: str, folder: Path, **settings: Any) -> Any:
    """The adapter on a saved miniature; nothing is loaded."""
    name, one, variant = of(case)
    if one.by_variant and variant:
        settings.setdefault("variant", variant)
    if name != "tiny":
        settings.setdefault("device", os.environ.get("SPF_TEST_DEVICE", "cpu"))
    made = kind(name)(path=str(folder), **{**one.settings, **settings})
    made.case = case
    return made


def saved(case: str, root: Path) -> Any:
    """The adapter on a newly saved miniature; its pipeline is loaded."""
    _, one, variant = of(case)
    made = adapter(case, one.save(root / case.replace("/", "-"), variant))
    return pipelines.loaded(made) if isinstance(made, DiffusersGenerator) else made


def transformers(generator: Any) -> list[Any]:
    """The models of diffusers that a loaded generator runs: other packages have own hooks."""
    from diffusers import ModelMixin

    if not isinstance(generator, DiffusersGenerator):
        return [generator._sampler.transformer]
    parts = generator.pipeline.components.values()
    return [part for part in parts if isinstance(part, ModelMixin)]
