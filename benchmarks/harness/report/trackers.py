"""Where else a run is recorded: W&B, or nowhere."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, Literal

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
LONGEST = 120
"""Letters of a name at W&B, which takes 128."""
PATIENCE = 900.0
"""Seconds that W&B may take to answer, uploads included."""
BEST = {"lower": "min", "higher": "max", "none": "last"}
"""Direction of a metric -> what W&B's summary has of it, and its tables sort by."""
ELSEWHERE = ("output", "name", "engine", "workers", "cache", "fresh", "logger", "hydra")
"""Parts of a config that say where results go and how they are computed, not what they are."""


class NoTracker:
    """Tables and the page alone; and what a tracker may do. It fails nothing."""

    name = "csv"

    def start(
        self, run_name: str, config: dict[str, Any], folder: RunFolder, total: int, done: int
    ) -> None:
        """A run begins to compute: so many cells in all, and so many completed before."""

    def on_completed(self, record: Record) -> None:
        """One more cell is completed, or has failed."""

    def publish(
        self,
        run_name: str,
        config: dict[str, Any],
        records: list[Record],
        summary: Summary,
        folder: RunFolder,
    ) -> str:
        """One line for the user: where the finished run can be seen, or why it was not written."""
        return ""


class WandbTracker(NoTracker):
    """A W&B run with the config, the tables, the curves, the images and the films.

    Offline unless the user is logged in; WANDB_MODE, where it is set, decides. The run's files go
    to the run's folder; `wandb sync` publishes an offline run later. Whatever W&B raises is
    reported in one line and fails nothing; W&B is called in a thread of its own, so that it does
    not hold up a run either.

    A run that has something to compute is begun at once: `cells/done`, `cells/failed` and the
    metrics of each cell (`cell/linearity_mae`) are logged as cells are completed. The id at W&B is
    the run's own name, so that a run that was interrupted, or is made again, goes on as the same
    W&B run; one that W&B has already, unchanged, is left as it is. Offline, W&B begins a folder
    each time: the new one holds everything, and takes the place of those that were never synced.
    The jobs of a sweep (-m) share a group, and are named after their settings.
    """

    name = "wandb"

    def __init__(
        self, project: str = "spf", entity: str | None = None, group: str | None = None
    ) -> None:
        self.project = project
        self.entity = entity
        self.group = group
        self._calls = _Calls()
        self._run: Any = None
        self._mode = ""
        self._progress = {"cells/total": 0, "cells/done": 0, "cells/failed": 0}

    def start(
        self, run_name: str, config: dict[str, Any], folder: RunFolder, total: int, done: int
    ) -> None:
        self._progress |= {"cells/total": total, "cells/done": done}
        self._calls.add(partial(self._begin, run_name, config, folder))

    def on_completed(self, record: Record) -> None:
        key = "cells/done" if record["status"] == DONE else "cells/failed"
        self._progress[key] += 1
        metrics = {f"cell/{name}": record[name] for name in METRICS if _number(record.get(name))}
        values = self._progress | metrics
        self._calls.add(lambda: self._run.log(values))  # the run that the thread began

    def publish(
        self,
        run_name: str,
        config: dict[str, Any],
        records: list[Record],
        summary: Summary,
        folder: RunFolder,
    ) -> str:
        def call() -> str:
            mode = self._decide_mode()
            settings = [self.project, self.entity, self.group]
            content = digest([config, records, summary.plain(), settings, mode, sweep_job()])
            published = _published(folder, content) if self._run is None else None
            if published is None:
                if self._run is None:
                    self._begin(run_name, config, folder)
                published = self._complete(records, summary, folder)
                folder.write(PUBLISHED, json.dumps({"content": content, **published}))
            if mode == "online":
                return f"W&B: {published['url']}"
            # A name may begin with a dash.
            place = os.path.join(".", os.path.relpath(published["folder"]))
            return f"W&B ({mode}): wandb sync {shell_quoted(place)} publishes it"

        try:
            return self._calls.result(call)
        except Exception as error:  # an outage of W&B must not lose a run
            return f"W&B: not written ({one_line(error)}); the run's own files are complete"

    def _decide_mode(self) -> str:
        self._mode = self._mode or os.environ.get("WANDB_MODE") or _login(_wandb())
        return self._mode

    def _begin(self, run_name: str, config: dict[str, Any], folder: RunFolder) -> None:
        """Begin the W&B run, or go on with it."""
        wandb = _wandb()
        group, name = sweep_job() or (None, run_name)
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            group=self.group or group,
            id=slug(run_name),
            resume="allow",
            name=name,
            config=config | {"metrics": {name: METRICS[name].direction for name in METRICS}},
            dir=str(folder.root),
            mode=self._decide_mode(),
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
        self, records: list[Record], summary: Summary, folder: RunFolder
    ) -> dict[str, str]:
        """Log what the run found and end it; its address and its folder."""
        with self._run as run:
            means = _means(records)
            for name in means:
                run.define_metric(name, summary=BEST[METRICS[name.partition("/")[2]].direction])
            run.log(_content(_wandb(), records, summary, folder) | means)
            url, place = run.url, Path(run.dir).parent
        self._run, name = None, slug(folder.root.name)
        for older in place.parent.glob(f"offline-run-*-{name}"):
            if older != place and not any(older.glob("*.synced")):
                shutil.rmtree(older, ignore_errors=True)
        return {"url": url or "", "folder": str(place)}


class _Calls:
    """Calls that are made one after the other in a thread, which ends with the process where one
    hangs. After one that raised, the others are left out."""

    def __init__(self) -> None:
        self._pending: Queue[tuple[Callable[[], Any], Future[Any]]] = Queue()
        self._error: BaseException | None = None
        self._thread: Thread | None = None

    def add(self, call: Callable[[], Any]) -> "Future[Any]":
        """Have a call made after those that were added before."""
        future: Future[Any] = Future()
        self._pending.put((call, future))
        if self._thread is None:
            self._thread = Thread(target=self._work, daemon=True)
            self._thread.start()
        return future

    def result(self, call: Callable[[], str]) -> str:
        """What a last call gives. Raises what it or one before it raised, and TimeoutError where
        there is no answer."""
        future = self.add(call)
        wait([future], PATIENCE)
        if not future.done():
            raise TimeoutError(f"no answer within {PATIENCE:g} s")
        return future.result()

    def _work(self) -> None:
        while True:
            call, future = self._pending.get()
            try:
                if self._error is not None:
                    raise self._error
                future.set_result(call())
            except BaseException as error:
                self._error = error
                future.set_exception(error)


def _wandb() -> Any:
    """The package, which prints nothing unless the user says so."""
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb


def sweep_job() -> tuple[str, str] | None:
    """Name of the sweep that this process runs a job of, and the job's options; None outside."""
    if not (HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN):
        return None
    job = HydraConfig.get()
    options = [x for x in job.overrides.task if re.split(r"[.=]", x)[0] not in ELSEWHERE]
    return f"sweep-{Path(job.sweep.dir).name}", job_name(options)


def job_name(options: Sequence[str]) -> str:
    """The options of a job as a name that W&B takes, another one for other options."""
    name = " ".join(options)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]} {digest(list(options))[:8]}"


def _published(folder: RunFolder, content: str) -> dict[str, str] | None:
    """Where the same content is already, if it is still there."""
    try:
        known = json.loads(folder.read(PUBLISHED))
        return known if known["content"] == content and Path(known["folder"]).is_dir() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _login(wandb: Any) -> Literal["online", "offline"]:
    try:
        return "online" if wandb.login(prompt=False) else "offline"
    except Exception as error:  # credentials that do not work, or no network
        why = one_line(error)
        print(f"W&B cannot be reached ({why}); the run is written offline", file=sys.stderr)
        return "offline"


def _content(
    wandb: Any, records: list[Record], summary: Summary, folder: RunFolder
) -> dict[str, Any]:
    """Tables, images and curves under the names of the page's parts."""
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


def _means(records: list[Record]) -> dict[str, float]:
    columns = {
        name: [record[name] for record in records if _number(record.get(name))] for name in METRICS
    }
    return {f"mean/{name}": sum(x) / len(x) for name, x in columns.items() if x}


def _number(value: Any) -> bool:
    return isinstance(value, float) and value == value
