"""Public comparisons of generators: a YAML file says where the clips come from, and they are built.

The files of published comparisons (`morphs.yaml` ...) are in this folder.
"""

from spf.collect.build import build_collection
from spf.collect.collection import Collection, read_collection

__all__ = ["Collection", "build_collection", "read_collection"]
