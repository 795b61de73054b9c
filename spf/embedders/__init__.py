"""Frames -> unit vectors. One module for each embedder; its word is the key of `EMBEDDERS`."""

from importlib import import_module
from typing import Any

from spf.embedders.base import Embedder, Embeddings, embed_clip
from spf.errors import ConfigError
from spf.words import choose

EMBEDDERS = {
    "pixels": "spf.embedders.pixels.Pixels",
    "histogram": "spf.embedders.histogram.Histogram",
}

DEFAULT_EMBEDDER = "histogram"


def load_embedder(name: str | Embedder = DEFAULT_EMBEDDER, **settings: Any) -> Embedder:
    """The embedder of that word, with settings of its class; an embedder is returned as it is.

    Raises ConfigError for an unknown word or setting, UnavailableError where it cannot run here.
    """
    if not isinstance(name, str):
        return name
    module, _, attribute = EMBEDDERS[choose(name, EMBEDDERS, "embedder")].rpartition(".")
    try:
        return getattr(import_module(module), attribute)(**settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"embedder {name}: {error}") from None


def label(embedder: Embedder) -> str:
    """How tables and plots name an embedder: a control is always called one."""
    return f"{embedder.name} (control)" if embedder.control else embedder.name


__all__ = [
    "DEFAULT_EMBEDDER",
    "EMBEDDERS",
    "Embedder",
    "Embeddings",
    "embed_clip",
    "label",
    "load_embedder",
]
