"""Clips checked one after the other, and their verdicts as rows and as JUnit XML."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isnan
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
from spf.names import printable
from spf.video import Sampling

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
        except ClipError as error:
            verdict = _unreadable(clip, f"{error.reason}; {error.remedy}")
        except ConfigError as error:  # a stream that this clip does not have
            verdict = _unreadable(clip, str(error).removeprefix(f"{clip}: "))
        except Exception as error:  # of a library, on frames that it did not expect
            verdict = _unreadable(clip, f"{type(error).__name__}: {error}"[:200])
        yield verdict


def _unreadable(clip: str, why: str) -> Verdict:
    return Verdict(clip, "unreadable", unreadable=printable(" ".join(f"unreadable: {why}".split())))


def as_row(verdict: Verdict, embedder: str) -> Row:
    """A verdict with `COLUMNS`: plain values, None where a number is not defined. reason : one
    text; findings : the same one by one, with the values and the limits."""
    found = [
        {
            "limit": one.limit,
            "value": _number(one.value),
            "threshold": _number(one.threshold),
            "text": one.text,
        }
        for one in verdict.findings
    ]
    values = {name: _number(value) for name, value in (verdict.values or {}).items()}
    return {
        "clip": printable(verdict.clip),
        "verdict": verdict.status,
        "reason": "; ".join(verdict.reasons),
        "embedder": embedder,
        **dict.fromkeys(LIMITS),
        **values,
        "findings": found,
    }


def _number(value: float) -> float | None:
    return None if isnan(value) else float(value)


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
        totals = f'tests="{counts.total()}" failures="{counts["fail"]}"'
        totals += f' errors="{counts["unreadable"]}"'
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
