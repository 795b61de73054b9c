"""`spf compare`: the leaderboard of generators."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from spf.commands import options
from spf.commands.output import Output
from spf.commands.shared import checked_name, embedder_of
from spf.errors import UnavailableError

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SCHEMA = "spf.compare/2"


def compare(
    clips: Annotated[
        str, typer.Argument(metavar="CLIPS", help="Folder with one folder a generator.")
    ],
    embedder: options.EmbedderName = None,
    weights: options.Weights = None,
    out: Annotated[str, options.output_path("FOLDER", "Folder for the output.")] = "results",
    as_json: options.Json = False,
    as_jsonl: options.JsonLines = False,
    as_csv: options.Csv = False,
    nuisance: options.Nuisance = "none",
    no_cache: options.NoCache = False,
    wandb: Annotated[
        bool, options.flag("--wandb", "Record the run at W&B too, offline unless logged in.")
    ] = False,
) -> int:
    """Rank generators by the pacing of CLIPS/GENERATOR/PAIR.mp4.

    \b
    Examples:
      spf compare clips/
      spf compare clips/ --embedder siglip --out results
      spf compare clips/ --csv > leaderboard.csv
    """
    script = CHECKOUT / "run.py"
    if not script.is_file():
        raise UnavailableError(
            "spf compare needs a checkout of the project: run make setup there, then .venv/bin/spf"
        )
    name = checked_name(embedder, weights)
    embedder_of(name, weights)  # what is missing is reported in this command's options
    overrides = {
        "benchmark": "leaderboard",
        "model": "folder",
        "model.path": clips,
        "output": out,
        "embedder": name if embedder is not None or weights is not None else None,
        "embedder.path": weights,
        "nuisance": nuisance if nuisance != "none" else None,
        "cache": "false" if no_cache else None,
        "logger": "wandb" if wandb else None,
    }
    chosen = (f"{key}={value}" for key, value in overrides.items() if value is not None)
    command = [sys.executable, str(script), *chosen]
    output = Output(SCHEMA, (), as_json, as_jsonl, as_csv)
    if not output.form:
        sys.stdout.flush()
        os.execv(sys.executable, command)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        printed = None
        while printed is None:
            with suppress(KeyboardInterrupt):  # it has it too, and ends in order
                printed, _ = process.communicate()
    lines = os.fsdecode(printed).splitlines()
    if process.returncode > 1 or not lines:
        return process.returncode
    folder = Path(lines[-1])  # of the run
    found = json.loads((folder / "leaderboard.json").read_text(encoding="utf-8"))
    rows = found.pop("rows")
    output.columns = list(dict.fromkeys(name for row in rows for name in row))
    output.facts = {name: value for name, value in found.items() if name != "schema"}
    with output:
        for row in rows:
            output.add(row)
    return process.returncode
