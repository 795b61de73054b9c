"""Every generator in miniature: a new one is tested by an entry in `MINIATURES`."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import generators
import pipelines
from diffusers import ModelMixin

from spf.generators import MODELS
from spf.generators.pipeline import DiffusersGenerator


@dataclass(frozen=True)
class Miniature:
    save: Callable[[Path, str], Path]
    variants: tuple[str, ...] = ("",)
    by_variant: bool = True  # the adapter takes them by that name
    settings: Mapping[str, Any] = field(default_factory=dict)
    first_only: tuple[str, ...] = ()  # variants that take no last frame
    ignores: tuple[str, ...] = ()  # parts of a request that do not change the clip
    absolute: str = ""  # why positions matter beyond their differences
    changes: Mapping[str, Any] = field(default_factory=dict)  # setting -> another value of it


MINIATURES = {
    "wan22": Miniature(
        pipelines.save_wan, ("i2v", "ti2v"), first_only=("ti2v",),
        changes={"guidance_scale_2": 2.0, "boundary_ratio": 0.5},
    ),
    "wan21": Miniature(pipelines.save_wan, ("vace-1.3b", "flf2v")),
    "skyreels": Miniature(pipelines.save_skyreels),
    "ltx2": Miniature(
        pipelines.save_ltx2, ("split", "interleaved"), by_variant=False,
        changes={
            "crf": 0, "stg_scale": 0.5, "modality_scale": 2.0, "guidance_rescale": 0.1,
            "motion_speed": 0.5,
        },
    ),
    "ltxv": Miniature(
        pipelines.save_ltxv,
        changes={"decode_timestep": 0.5, "decode_noise_scale": 0.5, "image_cond_noise_scale": 0.5},
    ),
    "framepack": Miniature(
        pipelines.save_framepack, settings={"latent_window": 2}, changes={"true_cfg": 4.0},
        ignores=("negative_prompt",),  # without true guidance
        absolute="tokens of text and image are not rotated: to them, latents have a time",
    ),
    "tiny": Miniature(
        lambda folder, variant: generators.save_tiny(folder),
        ignores=("prompt", "negative_prompt", "guidance", "seed"),  # deaf to noise: see save_tiny
    ),
}  # fmt: skip


def kind(name):
    module, _, attribute = MODELS[name].rpartition(".")
    return getattr(import_module(module), attribute)


def cases():
    """NAME or NAME/VARIANT of each miniature, of all generators whose weights are files here."""
    names = [name for name in MODELS if issubclass(kind(name), DiffusersGenerator)]
    return [f"{x}/{y}".rstrip("/") for x in [*names, "tiny"] for y in MINIATURES[x].variants]


def of(case):
    """Name, miniature and variant of a case; of wan22 and ltx2 the variant alone will do."""
    name, _, variant = case.partition("/")
    if name not in MODELS:
        name, variant = "ltx2" if name in MINIATURES["ltx2"].variants else "wan22", name
    return name, MINIATURES[name], variant


def adapter(case, folder, **settings):
    """The adapter on a saved miniature; nothing is loaded."""
    name, one, variant = of(case)
    if one.by_variant and variant:
        settings.setdefault("variant", variant)
    if name != "tiny":
        settings.setdefault("device", os.environ.get("SPF_TEST_DEVICE", "cpu"))
    made = kind(name)(path=str(folder), **{**one.settings, **settings})
    made.case = case
    return made


def like(generator, folder=None, **settings):
    return adapter(generator.case, folder or generator.path, **settings)


def sharing(generator, **settings):
    """The same model with other settings, on the same loaded pipeline."""
    made = like(generator, **settings)
    made.__dict__["pipeline"] = generator.pipeline
    return made


def saved(case, root):
    """The adapter on a newly saved miniature; its pipeline is loaded."""
    _, one, variant = of(case)
    made = adapter(case, one.save(root / case.replace("/", "-"), variant))
    return pipelines.loaded(made) if isinstance(made, DiffusersGenerator) else made


def transformers(generator):
    """The models of diffusers that a loaded generator runs: other packages have own hooks."""
    if not isinstance(generator, DiffusersGenerator):
        return [generator._sampler.transformer]
    return [x for x in generator.pipeline.components.values() if isinstance(x, ModelMixin)]


def hooks(generator):
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    parts = [part for model in transformers(generator) for part in model.modules()]
    return sum(len(getattr(part, kind)) for part in parts for kind in kinds)
