"""Where clips come from. One module for each; its name is the key of `MODELS`."""

import inspect
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spf.errors import ConfigError
from spf.names import choose

if TYPE_CHECKING:
    from spf.generators.base import Generator

MODELS = {
    "folder": "spf.generators.folder.Folder",
    "command": "spf.generators.command.Command",
    "tiny": "spf.generators.tiny.adapter.TinyGenerator",
    "wan22": "spf.generators.wan.Wan22",
    "wan21": "spf.generators.wan21.Wan21",
    "skyreels": "spf.generators.skyreels.SkyReels",
    "ltx2": "spf.generators.ltx2.Ltx2",
    "ltxv": "spf.generators.ltxv.LtxVideo",
    "framepack": "spf.generators.framepack.FramePack",
}

MAKERS = [name for name in MODELS if name not in ("folder", "command")]
FOLDER_GENERATES_NOTHING = (
    f"model=folder generates nothing; choose model={', '.join(MAKERS)} or command"
)

__all__ = ["FOLDER_GENERATES_NOTHING", "MAKERS", "MODELS", "load_generator", "settings_of"]


def load_generator(name: "str | Generator", **settings: Any) -> "Generator":
    """The generator of that name, with settings of its class; a generator is returned as it is.

    Nothing is loaded yet: `check` finds whether it can run here. Raises ConfigError for an unknown
    name or setting, and for a folder of clips, which makes none.
    """
    if not isinstance(name, str):
        return name
    name = choose(name, MODELS, "model")
    if name == "folder":
        raise ConfigError(FOLDER_GENERATES_NOTHING)
    module, _, attribute = MODELS[name].rpartition(".")
    kind: Any = getattr(import_module(module), attribute)
    known = settings_of(kind)
    chosen = {choose(x, known, f"setting of model {name}"): y for x, y in settings.items()}
    try:
        return kind(**chosen)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model={name}: {error}") from None


def settings_of(kind: type) -> list[str]:
    """Names of the settings with which a class is made, those of its bases included."""
    names: dict[str, None] = {}
    for base in kind.__mro__:
        if base is kind or "__init__" in vars(base):
            for name, parameter in list(inspect.signature(base).parameters.items()):
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                    names[name] = None
    return list(names)


def ignore(logger: str, beginning: str) -> None:
    """Drop the lines of a library's logger that begin so."""
    logging.getLogger(logger).addFilter(lambda one: not str(one.msg).startswith(beginning))


# diffusers imports bitsandbytes wherever that is installed, which then misses a processor's kernel
# for weights of 4 bits: these are refused there.
ignore("bitsandbytes.backends.cpu.ops", "Failed to load CPU gemm_4bit_forward")
