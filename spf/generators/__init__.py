"""Where clips come from. One module for each; its word is the key of `MODELS`."""

MODELS = {
    "folder": "spf.generators.folder.Folder",
    "tiny": "spf.generators.tiny.adapter.Tiny",
    "wan22": "spf.generators.wan.Wan22",
    "ltx2": "spf.generators.ltx2.Ltx2",
}

__all__ = ["MODELS"]
