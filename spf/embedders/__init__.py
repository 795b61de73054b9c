"""Frames -> unit vectors. One module for each embedder; its word is the key of `EMBEDDERS`."""

import inspect
from importlib import import_module
from typing import Any

from spf.devices import check_device
from spf.embedders.base import Embedder, Embeddings, embed_clip
from spf.errors import ConfigError
from spf.words import choose

EMBEDDERS = {
    "efficientnet": "spf.embedders.efficientnet.EfficientNet",
    "tiny": "spf.embedders.tiny.Tiny",
    "pixels": "spf.embedders.pixels.Pixels",
    "histogram": "spf.embedders.histogram.Histogram",
    "siglip": "spf.embedders.siglip.Siglip",
    "clip": "spf.embedders.clip.Clip",
    "dinov2": "spf.embedders.dinov2.Dinov2",
}

DEFAULT_EMBEDDER = "efficientnet"
"""For clips of the world: whatever the user names, in the commands, `spf.measure` and run.py."""

RENDERED_EMBEDDER = "tiny"
"""For what this project renders and generates itself, at 32 to 128 pixels."""

REMARKS = {
    "efficientnet": "ImageNet",
    "tiny": "shipped",
    "pixels": "control",
    "histogram": "control",
}
"""What every table says of these words."""

CAUTIONS = {
    "ImageNet": "efficientnet is a small network that was trained on ImageNet's photographs; the "
    "paper measures with SigLIP.",
    "control": "A control sees colours and edges, not meaning: its numbers are a first look.",
    "shipped": "tiny is a small network that was trained on rendered pictures and ships with the "
    "project: no substitute for SigLIP on real footage.",
}
"""What a reader must be told, by remark."""


def load_embedder(
    name: str | Embedder = DEFAULT_EMBEDDER, device: str = "auto", **settings: Any
) -> Embedder:
    """The embedder of that word, with settings of its class; an embedder is returned as it is.

    device : auto, cpu, cuda or cuda:N, for those that can choose; the others run on the CPU.
    Raises ConfigError for an unknown word or setting, UnavailableError where it cannot run here.
    """
    if not isinstance(name, str):
        return name
    kind = _class(choose(name, EMBEDDERS, "embedder"))
    try:
        check_device(device)
        return kind(**on_device(kind, device), **settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"embedder {name}: {error}") from None


def check_embedder(check: str | Embedder | None, embedder: Embedder) -> Embedder | None:
    """The second embedder that looks at what was made with the first one.

    check : a word or an object, None or "none" for none, or "auto": the default one, and histogram,
    which is no network, where the default one is the first.

    Raises ConfigError for an unknown word and for the first embedder itself, UnavailableError where
    it cannot run here.
    """
    if check is None or check == "none":
        return None
    if check == "auto":
        check = DEFAULT_EMBEDDER if embedder.name != DEFAULT_EMBEDDER else "histogram"
    found = load_embedder(check)
    if found.identity() == embedder.identity():
        raise ConfigError(f"check={found.name} is the embedder itself; name another one, or none")
    return found


def on_device(kind: type, device: str) -> dict[str, str]:
    """The argument that tells an embedder's class its device; none where it takes none."""
    return {"device": device} if "device" in inspect.signature(kind).parameters else {}


def takes_device(word: str) -> bool:
    """Whether the embedder of that word can choose its device. Raises ConfigError."""
    return bool(on_device(_class(choose(word, EMBEDDERS, "embedder")), "auto"))


def usable() -> dict[str, str]:
    """Every word, with what is not here that it needs with its default settings, or ""."""
    return {word: getattr(_class(word), "lacking", str)() for word in EMBEDDERS}


def _class(word: str) -> Any:
    module, _, attribute = EMBEDDERS[word].rpartition(".")
    return getattr(import_module(module), attribute)


def remark(embedder: Embedder | str) -> str:
    """What has to be known of an embedder or a word of one: control, shipped, or nothing."""
    if not isinstance(embedder, str) and embedder.control:
        return "control"
    return REMARKS.get(embedder if isinstance(embedder, str) else embedder.name, "")


def label(embedder: Embedder | str) -> str:
    """How tables and plots name an embedder: with its remark, where it has one."""
    name = embedder if isinstance(embedder, str) else embedder.name
    known = remark(embedder)
    return f"{name} ({known})" if known else name


__all__ = [
    "CAUTIONS",
    "DEFAULT_EMBEDDER",
    "EMBEDDERS",
    "RENDERED_EMBEDDER",
    "Embedder",
    "Embeddings",
    "check_embedder",
    "embed_clip",
    "label",
    "load_embedder",
    "on_device",
    "remark",
    "takes_device",
    "usable",
]
