"""Where else a run is recorded: W&B, or nowhere."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from functools import cached_property, partial
from multiprocessing import TimeoutError as NoAnswer
from multiprocessing.pool import AsyncResult, ThreadPool
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from benchmarks.harness.cells import Summary
from benchmarks.harness.folder import RunFolder, slug
from benchmarks.harness.measuring import read_curve
from benchmarks.harness.records import DONE, Record
from benchmarks.harness.runner import one_line
from spf.identity import digest
from spf.names import shell_quoted
from spf.progress import METRICS

PUBLISHED = "wandb/published.json"
LONGEST = 128
"""Letters of a name that W&B takes."""
PATIENCE = 900.0
"""Seconds that W&B may take to answer, uploads included."""
BEST = {"lower": "min", "higher": "max", "none": "last"}
"""Direction of a metric -> what W&B's summary has of it, and its tables sort by."""
ELSEWHERE = ("output", "name", "engine", "workers", "cache", "fresh", "logger", "hydra")
"""Parts of a config that say where results go and how they are computed, not what they are."""


class NoTracker:
    """Tables and the page alone; and what a tracker may do. It fails nothing."""

    name = "csv"

    def start(self, folder: RunFolder, config: dict[str, Any], total: int, done: int) -> None:
        """A run begins: so many cells in all, and so many completed before."""

    def on_completed(self, record: Record) -> None:
        """One more cell is completed, or has failed."""

    def publish(self, folder: RunFolder, records: list[Record], summary: Summary) -> str:
        """One line for the user: where the finished run can be seen, or why it was not written."""
        return ""


class WandbTracker(NoTracker):
    """A W&B run: the cells as they are completed, then the tables, curves, images and films.

    Offline unless the user is logged in; WANDB_MODE, where it is set, decides. The id at W&B is
    the run's own name, so that a run that was interrupted, or is made again, goes on as the same
    W&B run; one that is there already, unchanged, is left as it is. Offline, W&B begins a folder
    each time: the new one takes the place of those that were never synced. Its calls are made one
    after the other in a thread, which ends with the process, so that W&B neither holds up a run nor
    fails it.
    """

    name = "wandb"

    def __init__(
        self, project: str = "spf", entity: str | None = None, group: str | None = None
    ) -> None:
        self.place = {"project": project, "entity": entity}
        self.group = group
        self._thread = ThreadPool(1)
        self._calls: list[AsyncResult[Any]] = []
        self._run: Any = None
        self._config: dict[str, Any] = {}
        self._progress = {"cells/total": 0, "cells/done": 0, "cells/failed": 0}

    def start(self, folder: RunFolder, config: dict[str, Any], total: int, done: int) -> None:
        self._progress |= {"cells/total": total, "cells/done": done}
        self._config = config
        if done < total:
            self._call(partial(self._begin, folder))

    def on_completed(self, record: Record) -> None:
        self._progress["cells/done" if record["status"] == DONE else "cells/failed"] += 1
        metrics = {f"cell/{name}": record[name] for name in METRICS if pd.notna(record.get(name))}
        values = self._progress | metrics
        self._call(lambda: self._run.log(values))  # the run that the thread began

    def publish(self, folder: RunFolder, records: list[Record], summary: Summary) -> str:
        self._call(partial(self._publish, folder, records, summary))
        try:
            return str([call.get(PATIENCE) for call in self._calls][-1])
        except NoAnswer:
            why = f"no answer within {PATIENCE:g} s"
        except Exception as error:  # an outage of W&B must not lose a run
            why = one_line(error)
        return f"W&B: not written ({why}); the run's own files are complete"

    def _call(self, call: Callable[[], Any]) -> None:
        self._calls.append(self._thread.apply_async(call))

    def _publish(self, folder: RunFolder, records: list[Record], summary: Summary) -> str:
        """Complete the W&B run, unless it is there already; where it can be seen."""
        about = [self.place, self.group, _sweep_job(), self._mode]
        content = digest([self._config, records, summary.plain(), about])
        known = _published(folder) if self._run is None else {}
        if known.get("content") != content or not Path(known["folder"]).is_dir():
            if self._run is None:
                self._begin(folder)
            url, place = self._complete(folder, records, summary)
            known = {"content": content, "url": url, "folder": str(place)}
            folder.write(PUBLISHED, json.dumps(known))
        if known["url"]:
            return f"W&B: {known['url']}"
        # A name may begin with a dash.
        command = shell_quoted(os.path.join(".", os.path.relpath(known["folder"])))
        return f"W&B (offline): wandb sync {command} publishes it"

    @cached_property
    def _mode(self) -> str:
        return os.environ.get("WANDB_MODE") or _login(_wandb())

    def _begin(self, folder: RunFolder) -> None:
        """Begin the W&B run, or go on with it."""
        wandb = _wandb()
        group, name = _sweep_job() or (None, folder.root.name)
        self._run = wandb.init(
            **self.place,
            group=self.group or group,
            id=slug(folder.root.name),
            resume="allow",
            name=name,
            config=self._config | {"metrics": {name: METRICS[name].direction for name in METRICS}},
            dir=str(folder.root),
            mode=self._mode,
            settings=wandb.Settings(
                disable_git=True,
                disable_code=True,
                console="off",
                x_disable_stats=True,
                finish_timeout=PATIENCE,  # also of what W&B does when Python ends
                finish_timeout_raises=True,
            ),
        )

    def _complete(
        self, folder: RunFolder, records: list[Record], summary: Summary
    ) -> tuple[str | None, Path]:
        """Log what the run found and end it; its address, None offline, and its folder."""
        means = pd.DataFrame(records).reindex(columns=list(METRICS)).astype(float).mean().dropna()
        with self._run as run:
            for name in means.index:
                run.define_metric(f"mean/{name}", summary=BEST[METRICS[name].direction])
            run.log(_content(folder, records, summary) | means.add_prefix("mean/").to_dict())
            url, place = run.url, Path(run.dir).parent
        for older in place.parent.glob(f"offline-run-*-{slug(folder.root.name)}"):
            if older != place and not any(older.glob("*.synced")):
                shutil.rmtree(older, ignore_errors=True)
        return url, place


def _published(folder: RunFolder) -> dict[str, Any]:
    """What the run published last: its digest, address and folder; empty where none is known."""
    try:
        return dict(json.loads(folder.read(PUBLISHED)))
    except (OSError, ValueError, TypeError):
        return {}


def _wandb() -> Any:
    """The package, which prints nothing unless the user says so."""
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb


def _login(wandb: Any) -> str:
    try:
        return "online" if wandb.login(prompt=False) else "offline"
    except Exception as error:  # credentials that do not work, or no network
        why = one_line(error)
        print(f"W&B cannot be reached ({why}); the run is written offline", file=sys.stderr)
        return "offline"


def _sweep_job() -> tuple[str, str] | None:
    """Name of the sweep that this process runs a job of, and the job's options; None outside."""
    if not (HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN):
        return None
    job = HydraConfig.get()
    options = [x for x in job.overrides.task if re.split(r"[.=]", x)[0] not in ELSEWHERE]
    name = " ".join(options)
    if len(name) > LONGEST:  # long ones may begin alike
        name = f"{name[: LONGEST - 9]} {digest(options)[:8]}"
    return f"sweep-{Path(job.sweep.dir).name}", name


def _content(folder: RunFolder, records: list[Record], summary: Summary) -> dict[str, Any]:
    """Tables, images and curves under the names of the page's parts."""
    wandb = _wandb()
    content: dict[str, Any] = {}
    for section in summary.sections:
        for table in section.tables:
            rows = [list(row.values()) for row in table.rows]
            content[f"tables/{table.name}"] = wandb.Table(columns=table.columns, data=rows)
        for figure in section.figures:
            path = str(folder.path(figure.path))
            film = path.endswith(".mp4")
            media = wandb.Video(path, format="mp4") if film else wandb.Image(path)
            content[f"figures/{figure.path}"] = media
    curves = [
        read_curve(folder, record).assign(clip=f"{record['model']}/{record['clip']}")
        for record in records
        if record["status"] == DONE and record.get("curve")  # not of other runs
    ]
    if curves:
        whole = pd.concat(curves, ignore_index=True)
        whole.insert(0, "clip", whole.pop("clip"))
        content["curves"] = wandb.Table(dataframe=whole)
    return content
