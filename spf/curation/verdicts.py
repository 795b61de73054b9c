"""Clips checked one after the other, and their verdicts as rows and as JUnit XML."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from spf.cache import Cache
from spf.curation.bounds import LIMITS
from spf.curation.limits import Verdict, judge
from spf.embedders import Embedder
from spf.errors import ClipError, ConfigError, UnavailableError
from spf.files import moved_into_place
from spf.measurement import measure_clip
from spf.video import Sampling
from spf.words import printable

Row = dict[str, Any]
COLUMNS = ("clip", "verdict", "reason", "embedder", *LIMITS, "findings")
"""Of a row; the values are those that the limits bound, whether or not they are set."""
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
HEAD = 200
"""Bytes for the line of JUnit's totals, which are known at the end."""


def check_clips(
    clips: Iterable[str],
    embedder: Embedder,
    limits: Mapping[str, float],
    sampling: Sampling | None = None,
    cache: Cache | None = None,
    nuisance: str = "none",
) -> Iterator[Verdict]:
    """A verdict for each clip, as it is measured: nothing is held but the clip at hand.

    limits : as `checked_limits` gives them. nuisance : as in `measure_clip`; it is what
    max_motion_share bounds, and moves no other value.
    What cannot be read is a verdict "unreadable" that says why. Raises UnavailableError where the
    embedder itself cannot run.
    """
    for clip in clips:
        try:
            measured = measure_clip(
                clip, embedder, sampling=sampling, cache=cache, guarded=True, nuisance=nuisance
            )
            verdict = judge(clip, measured, limits)
        except UnavailableError:
            raise
        except Exception as error:
            reason = " ".join(f"unreadable: {_reason(error, clip)}".split())
            verdict = Verdict(clip, "unreadable", unreadable=printable(reason))
        yield verdict


def _reason(error: Exception, clip: str) -> str:
    """Why a clip cannot be read."""
    if isinstance(error, ClipError):
        return f"{error.reason}; {error.remedy}"
    if isinstance(error, ConfigError):  # a stream that this clip does not have
        return str(error).removeprefix(f"{clip}: ")
    return f"{type(error).__name__}: {error}"[:200]  # of a library, on frames it did not expect


def as_row(verdict: Verdict, embedder: str) -> Row:
    """A verdict with `COLUMNS`: plain values, None where a number is not defined. reason : one
    text; findings : the same one by one, with the values and the limits."""
    values = dict.fromkeys(LIMITS) | _defined(verdict.values or {})
    findings = [_defined(asdict(finding)) for finding in verdict.findings]
    about = printable(verdict.clip), verdict.status, "; ".join(verdict.reasons), embedder
    return dict(zip(COLUMNS, (*about, *values.values(), findings), strict=True))


def _defined(values: Mapping[str, Any]) -> Row:
    """The values, None in place of NaN."""
    return {name: None if value != value else value for name, value in values.items()}


@contextmanager
def junit_file(path: str | os.PathLike[str]) -> Iterator[Callable[[Verdict], None]]:
    """What writes a verdict into a file of JUnit XML, which is in place when the block ends whole.

    Each clip is a test case: a failure where a limit is not met, an error where it is unreadable.
    Names are escaped, and letters that XML cannot hold become backslash escapes. Verdicts are
    written as they come; the totals stand in a line that is left free for them. Raises OSError.
    """
    counts: Counter[str] = Counter()
    with moved_into_place(Path(path)) as temporary, open(temporary, "wb") as file:
        file.write(DECLARATION + b" " * HEAD + b"\n")

        def add(verdict: Verdict) -> None:
            counts[verdict.status] += 1
            file.write(f"{_test_case(verdict)}\n".encode())

        yield add
        file.write(b"</testsuite></testsuites>\n")
        file.seek(len(DECLARATION))
        failed = f'failures="{counts["fail"]}" errors="{counts["unreadable"]}"'
        totals = f'tests="{counts.total()}" {failed}'
        head = f'<testsuites {totals}><testsuite name="spf check" {totals}>'
        file.write(head.ljust(HEAD).encode())
        file.flush()
        os.fsync(file.fileno())


def _test_case(verdict: Verdict) -> str:
    case = f'<testcase classname="spf.check" name={quoteattr(printable(verdict.clip))}'
    if verdict.status == "pass":
        return f"{case}/>"
    tag = "failure" if verdict.status == "fail" else "error"
    kind = quoteattr(",".join(found.limit for found in verdict.findings) or verdict.status)
    message, text = quoteattr("; ".join(verdict.reasons)), escape("\n".join(verdict.reasons))
    return f"{case}><{tag} type={kind} message={message}>{text}</{tag}></testcase>"
