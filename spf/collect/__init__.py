"""Public comparisons of generators, one YAML file each (`morphs.yaml` ...), and their clips."""

from spf.collect.collection import Collection, build_collection, read_collection

__all__ = ["Collection", "build_collection", "read_collection"]
