"""Measure a corpus: what is to do, the work, what was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from spf.corpus import manifest
from spf.corpus.inputs import Listing, survey
from spf.corpus.pipeline import Crew, local_or_remote, measured
from spf.corpus.rows import Measuring
from spf.corpus.shards import (
    Assembly,
    Summary,
    finished,
    remove_half_written,
    summarise,
    write_shard,
)
from spf.errors import ConfigError

CLIPS_PER_SHARD = 1000
LOCK = ".spf-corpus.lock"


@dataclass(frozen=True)
class Made:
    """What a corpus has at the end: `counts` (clips, done, failed) and clips by status and
    reason; `measured` of them were measured now, the others before."""

    counts: dict[str, int]
    summary: Summary
    measured: int


def make_corpus(
    listing: Listing,
    output: Path,
    measuring: Measuring,
    crew: Crew,
    clips_per_shard: int = CLIPS_PER_SHARD,
    plan: Callable[[str], object] = str,
    progress: Callable[[int], object] = int,
) -> Made:
    """Measure the clips of a listing into the shards of an output folder that exists.

    Shards that are finished are taken as they are. plan : called with a line on what is to do.
    progress : called with the number of clips measured since.

    Raises ConfigError for an output that holds another corpus or is in use, UnavailableError for
    an embedder or a Ray that cannot run here, SpfError where the work cannot go on; what is
    finished is kept.
    """
    identity = measuring.identity()
    lock = FileLock(output / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"{output}: another process is making this corpus; wait until it has"
        ) from None
    try:
        remove_half_written(output)
        found = survey(listing, clips_per_shard)
        described = manifest.describe(identity, found)
        manifest.begin(output, described)
        mark = described["identity"]
        shards = range(len(found.shards))
        pending = [
            shard for shard in shards if not finished(output, shard, found, mark, measuring.curves)
        ]
        there = len(shards) - len(pending)
        plan(f"{found.clips} clips in {len(shards)} shards, {there} of them finished")
        count = done = 0
        if pending:
            assembly = Assembly(found)
            with local_or_remote(crew):
                for rows, written in measured(listing, found, pending, measuring, crew):
                    count += len(rows)
                    progress(len(rows))
                    whole = assembly.add(rows)
                    if whole is not None:
                        write_shard(output, *whole, mark)
                        done += 1
                        written(done)
        summary = summarise(output, len(shards))
        return Made(manifest.end(output, described, summary), summary, count)
    finally:
        lock.release()
