"""YAML that others may have written: data alone, bounded, without what grows when it is read."""

from pathlib import Path
from reprlib import Repr
from typing import Any

import yaml

from spf.files import read_bounded

LARGEST = 5_000_000
"""Bytes of a file; 20,000 pairs have about as many."""
SHORT = Repr()
SHORT.maxlevel = 2
DEEPEST = 50
"""Levels; reading takes the square of them."""


class _Loader(yaml.SafeLoader):
    """As SafeLoader; what a few lines make grow for ever is refused: levels, and merged mappings.

    A name may stand for a list (`&same`, `*same`): it is there once, however often it is named.
    """

    def fetch_flow_collection_start(self, token: Any) -> None:
        if self.flow_level >= DEEPEST:
            raise yaml.YAMLError("it is nested too deeply")
        super().fetch_flow_collection_start(token)

    def add_indent(self, column: int) -> bool:
        if len(self.indents) >= DEEPEST:
            raise yaml.YAMLError("it is nested too deeply")
        return bool(super().add_indent(column))

    def flatten_mapping(self, node: Any) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("mappings are merged (<<); write them out")
        super().flatten_mapping(node)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises OSError, UnicodeDecodeError, and yaml.YAMLError for what
    cannot be read as YAML."""
    text = read_bounded(path, LARGEST).decode("utf-8")
    try:
        return _Loader(text).get_single_data()
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except ValueError as error:  # numbers and dates that Python cannot hold
        raise yaml.YAMLError(str(error)) from None


def brief(value: Any) -> str:
    """What a file holds, for an error: a few letters, however large it is."""
    return SHORT.repr(value)[:100]
