"""Where clips come from. One module for each; its word is the key of `MODELS`."""

MODELS = {"folder": "spf.generators.folder.Folder"}

__all__ = ["MODELS"]
