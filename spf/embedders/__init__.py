"""Frames -> unit vectors, by an embedder of `EMBEDDERS`."""

import inspect
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from spf.devices import check_device
from spf.embedders.base import Embedder as Embedder
from spf.embedders.base import Embeddings as Embeddings
from spf.embedders.base import embed_clip as embed_clip
from spf.errors import ConfigError
from spf.extras import missing_extra
from spf.names import choose
from spf.weights import EMBEDDER_PINS

EMBEDDERS = {
    "efficientnet": "spf.embedders.efficientnet.EfficientNet",
    "tiny": "spf.embedders.tiny.TinyEmbedder",
    "pixels": "spf.embedders.pixels.Pixels",
    "histogram": "spf.embedders.histogram.Histogram",
    "siglip": "spf.embedders.openclip.Siglip",
    "clip": "spf.embedders.openclip.ClipTower",
    "dinov2": "spf.embedders.dinov2.Dinov2",
}

DEFAULT_EMBEDDER = "efficientnet"
"""For real footage: whatever the user names, in the commands, `spf.measure` and run.py."""

RENDERED_EMBEDDER = "tiny"
"""For what this project renders and generates itself, at 32 to 128 pixels."""

LABELS = {
    "efficientnet": "ImageNet",
    "tiny": "shipped",
    "pixels": "control",
    "histogram": "control",
}
"""What every table adds to these names."""

DISCLAIMERS = {
    "ImageNet": "efficientnet is a small network that was trained on ImageNet's photographs; the "
    "paper measures with SigLIP.",
    "control": "A control sees colours and edges, not meaning: its numbers are a first look.",
    "shipped": "tiny is a small network that was trained on rendered images and ships with the "
    "project: no substitute for SigLIP on real footage.",
}
"""What a reader must know, by label."""


def load_embedder(
    name: str | Embedder = DEFAULT_EMBEDDER, device: str = "auto", **settings: Any
) -> Embedder:
    """The embedder of that name, with settings of its class; an embedder is returned as it is.

    name : NAME, or NAME/VARIANT such as "siglip/b16-384" (see `full_name`).
    device : auto, cpu, cuda or cuda:N, for those that can choose; the others run on the CPU.
    Raises ConfigError for an unknown name or setting, UnavailableError where it cannot run here.
    """
    if not isinstance(name, str):
        return name
    family, _, variant = full_name(name).partition("/")
    kind = _class(family)
    settings |= {"model": variant} if variant else {}
    try:
        check_device(device)
        return kind(**on_device(kind, device), **settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"embedder {name}: {error}") from None


def check_embedder(check: str | Embedder | None, embedder: Embedder) -> Embedder | None:
    """The second embedder that looks at what was made with the first one. check : a name or an
    object, None or "none" for none, or "auto": the default one, and histogram, which is no network,
    where the default one is the first. Raises as `load_embedder`, and for the first one itself."""
    if check is None or check == "none":
        return None
    if check == "auto":
        check = DEFAULT_EMBEDDER if embedder.name != DEFAULT_EMBEDDER else "histogram"
    found = load_embedder(check)
    if found.identity() == embedder.identity():
        raise ConfigError(f"embedder {label(found)} cannot check itself; name another one, or none")
    return found


def on_device(kind: type, device: str) -> dict[str, str]:
    """The device as an argument of a class; none where it takes none."""
    return {"device": device} if "device" in inspect.signature(kind).parameters else {}


def takes(name: str, setting: str) -> bool:
    """Whether the embedder of that name has a setting, such as device, or path, the place of its
    weights. Raises ConfigError for an unknown name."""
    kind = _class(full_name(name).partition("/")[0])
    return setting in inspect.signature(kind).parameters


def full_name(name: str, known: Iterable[str] = EMBEDDERS) -> str:
    """NAME or NAME/VARIANT as `known` and `spf.weights.EMBEDDER_PINS` spell them. Raises
    ConfigError, in one line with the nearest names, for an unknown name or variant."""
    family, slash, variant = name.partition("/")
    family = choose(family, known, "embedder")
    if not slash:
        return family
    if family not in EMBEDDER_PINS:
        raise ConfigError(f"embedder {family} has no variants; write {family}")
    return f"{family}/{choose(variant, EMBEDDER_PINS[family], f'{family} variant')}"


def available() -> dict[str, str]:
    """Every name, with what is not here that it needs with its default settings, or ""; and the
    names with a variant that can run here."""
    names = {name: getattr(_class(name), "missing_requirements", str)() for name in EMBEDDERS}
    if missing_extra("towers"):
        return names
    return names | {
        f"{family}/{variant}": ""
        for family, pins in EMBEDDER_PINS.items()
        for variant, pin in list(pins.items())[1:]  # the first one is the family's default
        if pin.find()
    }


def _class(name: str) -> Any:
    module, _, attribute = EMBEDDERS[name].rpartition(".")
    return getattr(import_module(module), attribute)


def short_label(embedder: Embedder | str) -> str:
    """What has to be known of an embedder or a name of one: control, shipped, or "" for nothing."""
    if isinstance(embedder, str):
        return LABELS.get(embedder, "")
    if getattr(embedder, "is_local", False):
        return "local weights"
    return "control" if embedder.control else LABELS.get(embedder.name, "")


def label(embedder: Embedder | str) -> str:
    """How tables and plots name an embedder: with its short label, where it has one."""
    name = embedder if isinstance(embedder, str) else shown_name(embedder)
    known = short_label(embedder)
    return f"{name} ({known})" if known else name


def shown_name(embedder: Embedder) -> str:
    """An embedder's name, with its variant unless that is the default one."""
    variant = getattr(embedder, "variant", "")
    return f"{embedder.name}/{variant}" if variant else embedder.name
