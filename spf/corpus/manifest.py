"""The manifest of a corpus: what its shards are made of, and what they must agree with."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from spf import __version__
from spf.corpus.inputs import Survey
from spf.corpus.rows import DONE, FAILED
from spf.corpus.shards import Summary
from spf.errors import ConfigError, SpfError
from spf.files import write_atomic
from spf.fingerprint import digest, installed

NAME = "manifest.json"
SUMMARY = "summary.csv"
FORMAT = 1


def describe(measuring: dict[str, Any], survey: Survey) -> dict[str, Any]:
    """The manifest of a corpus that is begun: plain data, without times and places.

    measuring : the identity of `Measuring`. All but `spf` and `counts` determines the shards'
    bytes; `identity` is its hash.
    """
    determined = {
        "format": FORMAT,
        "input": {"clips": survey.clips, "names": survey.digest},
        "clips_per_shard": survey.size,
        "measuring": measuring,
        "versions": installed("pyarrow"),
    }
    identity = digest(json.loads(json.dumps(determined)))
    return {"spf": __version__, "identity": identity, "counts": None, **determined}


def begin(output: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a new corpus, or find the same one there.

    Raises ConfigError where the folder holds another corpus or other things, SpfError where it
    cannot be written.
    """
    path = output / NAME
    if not path.exists():
        others = sorted(p.name for p in output.iterdir() if not p.name.startswith("."))
        if others:
            raise ConfigError(
                f"{output}: it holds {others[0]}, but no {NAME}: choose a new or an empty OUTPUT"
            )
        _write(path, manifest)
        return
    try:
        there = json.loads(path.read_text())
        found = {name: there[name] for name in manifest}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: it is damaged; choose another OUTPUT") from None
    if found["identity"] != manifest["identity"]:
        what = ", ".join(_differing(found, json.loads(json.dumps(manifest)))) or "identity"
        remedy = "go on as it was begun, choose another OUTPUT, or delete this one"
        raise ConfigError(f"{output}: it holds a corpus that differs in {what}; {remedy}")


def end(output: Path, manifest: dict[str, Any], summary: Summary) -> dict[str, int]:
    """Write the summary, and the manifest with the counts, which say that all shards are there."""
    counts = {"clips": sum(summary.values()), DONE: 0, FAILED: 0}
    for (status, _), number in summary.items():
        counts[status] += number
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["status", "reason", "clips"])
    for (status, reason), number in ranked(summary):
        writer.writerow([status, reason, number])
    _write(output / SUMMARY, text.getvalue())
    _write(output / NAME, manifest | {"counts": counts})
    return counts


def ranked(summary: Summary) -> list[tuple[tuple[str, str], int]]:
    """A summary's lines: by status, the frequent ones first."""
    return sorted(summary.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))


def _differing(old: dict[str, Any], new: dict[str, Any], under: str = "") -> list[str]:
    """Names of what differs, with both values where they are short."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name), new.get(name)
        if before == now or name in ("spf", "identity", "counts"):
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            lines += _differing(before, now, f"{under}{name}.")
        else:
            values = f" ({before}, now {now})" if len(f"{before}{now}") < 60 else ""
            lines.append(f"{under}{name}{values}")
    return lines


def _write(path: Path, content: str | dict[str, Any]) -> None:
    text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
    try:
        write_atomic(path, text)
    except OSError as error:
        raise SpfError(f"{path}: cannot be written ({error.strerror}); make room") from None
