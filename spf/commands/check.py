"""`spf check`: a verdict on each clip, against limits."""

from collections import Counter
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer

from spf.commands import options
from spf.commands.output import Output
from spf.commands.shared import check_writable, clips_at, embedder_of, print_embedder
from spf.curation.limits import LIMITS, checked_limits, read_limits
from spf.errors import ConfigError
from spf.names import plain

SCHEMA = "spf.check/1"


def _limit(name: str) -> Any:
    limit = LIMITS[name]
    most = limit.most if limit.most < inf else None
    return typer.Option(metavar=limit.metavar, min=0, max=most, help=f"{limit.text}.")


def check(
    clips: options.Clips,
    max_stall: Annotated[float | None, _limit("max_stall")] = None,
    max_dead: Annotated[float | None, _limit("max_dead")] = None,
    max_dead_start: Annotated[float | None, _limit("max_dead_start")] = None,
    max_dead_end: Annotated[float | None, _limit("max_dead_end")] = None,
    max_jump: Annotated[float | None, _limit("max_jump")] = None,
    max_cuts: Annotated[float | None, _limit("max_cuts")] = None,
    max_linearity_mae: Annotated[float | None, _limit("max_linearity_mae")] = None,
    max_peak_speed: Annotated[float | None, _limit("max_peak_speed")] = None,
    max_noise: Annotated[float | None, _limit("max_noise")] = None,
    min_change: Annotated[float | None, _limit("min_change")] = None,
    min_change_rate: Annotated[float | None, _limit("min_change_rate")] = None,
    max_motion_share: Annotated[float | None, _limit("max_motion_share")] = None,
    thresholds: Annotated[
        str | None,
        options.output_path(
            "FILE", "YAML file with limits, such as max_stall: 0.2; options win over it."
        ),
    ] = None,
    junit: Annotated[str | None, options.output_path("FILE", "Write JUnit XML too.")] = None,
    as_json: options.Json = False,
    as_jsonl: options.JsonLines = False,
    as_csv: options.Csv = False,
    embedder: options.EmbedderName = None,
    weights: options.Weights = None,
    stride: options.Stride = 1,
    max_frames: options.MaxFrames = None,
    start: options.Start = None,
    end: options.End = None,
    stream: options.Stream = None,
    nuisance: options.Nuisance = "none",
    no_cache: options.NoCache = False,
) -> int:
    """Check clips against limits: a verdict each, with the reasons.

    Ends with 1 where a clip fails. A clip without semantic change, one that flickers, one of fewer
    than 5 frames and one that cannot be read fail whatever the limits; docs/how-to/curate.md says
    what each limit bounds.

    \b
    Examples:
      spf check clips/ --max-stall 0.2 --max-jump 0.15 --min-change-rate 0.1
      spf check clips/ --thresholds limits.yaml --junit report.xml
      spf check clips/ --max-dead-start 0.5 --jsonl > verdicts.jsonl
    """
    from contextlib import ExitStack

    from tqdm import tqdm

    from spf.cache import user_cache
    from spf.curation.verdicts import COLUMNS, as_row, check_clips, junit_file
    from spf.embedders import shown_name
    from spf.video import Sampling

    named = {name: x for name, x in locals().items() if name in LIMITS and x is not None}
    limits = read_limits(Path(thresholds)) if thresholds is not None else {}
    limits |= checked_limits(named)
    if junit is not None:
        check_writable(Path(junit).parent)
    if "max_motion_share" in limits and nuisance == "none":
        raise ConfigError(
            "max_motion_share bounds what a nuisance explains; give --nuisance camera"
        )
    measuring = embedder_of(embedder, weights)
    sampling = Sampling(stride, max_frames, start, end, stream)
    cache = None if no_cache else user_cache()
    paths = (clip for path in clips for clip in clips_at(path))
    total = sum(1 for path in clips for _ in clips_at(path))
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        output = stack.enter_context(Output(SCHEMA, COLUMNS, as_json, as_jsonl, as_csv))
        add = stack.enter_context(junit_file(junit)) if junit is not None else None
        print_embedder(measuring)
        listed = ", ".join(f"{name} {value:g}" for name, value in limits.items())
        print(f"limits: {listed or 'none is set; what must fail anyway is found'}")
        output.facts = {"limits": limits}
        bar = stack.enter_context(tqdm(total=total, unit="clips", leave=False, disable=None))
        for verdict in check_clips(paths, measuring, limits, sampling, cache, nuisance):
            counts[verdict.status] += 1
            bar.update()
            output.add(as_row(verdict, shown_name(measuring)))
            if add is not None:
                add(verdict)
            why = f": {'; '.join(verdict.reasons)}" if verdict.reasons else ""
            tqdm.write(plain(f"{verdict.status:<10} {verdict.clip}{why}"))
        found = ", ".join(f"{counts[name]} {name}" for name in ("pass", "fail", "unreadable"))
        print(f"{counts.total()} clips: {found}")
        if junit is not None:
            print(f"junit: {plain(junit)}")
    return int(counts["pass"] < counts.total())
