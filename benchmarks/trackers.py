"""Where else a run is recorded: W&B, or nowhere."""

import os
import sys
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from benchmarks.cells import Summary
from benchmarks.folder import RunFolder, slug
from benchmarks.measuring import read_curve
from benchmarks.records import DONE, Record
from benchmarks.runner import one_line


class Tracker(Protocol):
    """Publishes a finished run; it must not fail it."""

    name: str

    def publish(
        self,
        run_name: str,
        config: dict[str, Any],
        records: list[Record],
        summary: Summary,
        folder: RunFolder,
    ) -> str:
        """One line for the user: where the run can be seen, or why it was not published."""
        ...


class NoTracker:
    """Tables and the page alone."""

    name = "csv"

    def publish(self, *_: Any) -> str:
        return ""


class WandbTracker:
    """A W&B run with the config, the tables, the curves and the pictures.

    Offline unless the user is logged in; WANDB_MODE, where it is set, decides. The run's files go
    to the run's folder; `wandb sync` publishes an offline run later. Whatever W&B raises is
    reported in one line and fails nothing.
    """

    name = "wandb"

    def __init__(
        self, project: str = "spf", entity: str | None = None, group: str | None = None
    ) -> None:
        self.project = project
        self.entity = entity
        self.group = group

    def publish(
        self,
        run_name: str,
        config: dict[str, Any],
        records: list[Record],
        summary: Summary,
        folder: RunFolder,
    ) -> str:
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb

            mode: Any = os.environ.get("WANDB_MODE") or _mode(wandb)
            run = wandb.init(
                project=self.project,
                entity=self.entity,
                group=self.group,
                id=slug(run_name),  # synced, a run that was started again is the same run
                name=run_name,
                config=config,
                dir=str(folder.root),
                mode=mode,
                settings=wandb.Settings(
                    disable_git=True, disable_code=True, console="off", x_disable_stats=True
                ),
            )
            with run:
                run.log(_content(wandb, records, summary, folder))
                for name in _metrics(records):
                    run.summary[f"mean/{name}"] = _mean(records, name)
                url, place = run.url, Path(run.dir).parent
            if mode == "online":
                return f"W&B: {url}"
            return f"W&B (offline): wandb sync {os.path.relpath(place)} publishes it"
        except Exception as error:  # an outage of W&B must not lose a run
            print(f"W&B was not written: {one_line(error)}", file=sys.stderr)
            return "W&B: not written"


def _mode(wandb: Any) -> Literal["online", "offline"]:
    try:
        return "online" if wandb.login(prompt=False) else "offline"
    except Exception as error:  # credentials that do not work, or no network
        why = one_line(error)
        print(f"W&B cannot be reached ({why}); the run is written offline", file=sys.stderr)
        return "offline"


def _content(
    wandb: Any, records: list[Record], summary: Summary, folder: RunFolder
) -> dict[str, Any]:
    """Tables, pictures and curves under the names of the page's parts."""
    content: dict[str, Any] = {}
    for section in summary.sections:
        for table in section.tables:
            rows = [[row.get(name) for name in table.columns] for row in table.rows]
            content[f"tables/{table.name}"] = wandb.Table(columns=table.columns, data=rows)
        for figure in section.figures:
            path = str(folder.path(figure.path))
            film = path.endswith(".mp4")
            media = wandb.Video(path, format="mp4") if film else wandb.Image(path)
            content[f"figures/{figure.path}"] = media
    curves = [
        read_curve(folder, record).assign(clip=f"{record['model']}/{record['clip']}")
        for record in records
        if record["status"] == DONE
    ]
    if curves:
        whole = pd.concat(curves, ignore_index=True)
        whole.insert(0, "clip", whole.pop("clip"))
        content["curves"] = wandb.Table(dataframe=whole)
    return content


def _metrics(records: list[Record]) -> list[str]:
    from spf import METRICS

    return [name for name in METRICS if any(_number(record.get(name)) for record in records)]


def _mean(records: list[Record], name: str) -> float:
    values = [record[name] for record in records if _number(record.get(name))]
    return sum(values) / len(values)


def _number(value: Any) -> bool:
    return isinstance(value, float) and value == value
