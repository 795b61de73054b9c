"""Where clips come from. One module for each; its word is the key of `MODELS`."""

import logging

MODELS = {
    "folder": "spf.generators.folder.Folder",
    "command": "spf.generators.command.Command",
    "tiny": "spf.generators.tiny.adapter.Tiny",
    "wan22": "spf.generators.wan.Wan22",
    "ltx2": "spf.generators.ltx2.Ltx2",
}

__all__ = ["MODELS"]


def _concerns_us(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Failed to load CPU gemm_4bit_forward")


# diffusers imports bitsandbytes wherever that is installed, which then misses a kernel for weights
# of 4 bits: no generator here has such weights.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_concerns_us)
