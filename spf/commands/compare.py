"""`spf compare`: the leaderboard of generators."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from spf.commands.options import Csv, EmbedderName, Json, JsonLines, NoCache, Nuisance, Out, Weights
from spf.commands.output import Output
from spf.commands.shared import checked_name, embedder_of
from spf.errors import UnavailableError

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SCHEMA = "spf.compare/1"


def compare(
    clips: Annotated[
        str, typer.Argument(metavar="CLIPS", help="Folder with one folder a generator.")
    ],
    embedder: EmbedderName = None,
    weights: Weights = None,
    out: Out = "results",
    as_json: Json = False,
    as_jsonl: JsonLines = False,
    as_csv: Csv = False,
    nuisance: Nuisance = "none",
    no_cache: NoCache = False,
    wandb: Annotated[
        bool, typer.Option("--wandb", help="Record the run at W&B too, offline unless logged in.")
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
    embedder_of(name, weights)  # what is missing is said in this command's options
    words = ["benchmark=leaderboard", "model=folder", f"model.path={clips}", f"output={out}"]
    if embedder is not None or weights is not None:
        words.append(f"embedder={name}")
    if weights is not None:
        words.append(f"embedder.path={weights}")
    if nuisance != "none":
        words.append(f"nuisance={nuisance}")
    if no_cache:
        words.append("cache=false")
    if wandb:
        words.append("logger=wandb")
    command = [sys.executable, str(script), *words]
    output = Output(SCHEMA, (), as_json, as_jsonl, as_csv)
    if not output.form:
        sys.stdout.flush()
        os.execv(sys.executable, command)
    code, folder = _run(command)
    if folder is None:
        return code
    with output:
        found = json.loads((folder / "leaderboard.json").read_text(encoding="utf-8"))
        rows = found.pop("rows")
        output.columns = list(dict.fromkeys(name for row in rows for name in row))
        output.facts = {name: value for name, value in found.items() if name != "schema"}
        for row in rows:
            output.add(row)
    return code


def _run(command: Sequence[str]) -> tuple[int, Path | None]:
    """The exit code of run.py, and the run's folder, the last line that it prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while True:
            try:
                printed, _ = process.communicate()
                break
            except KeyboardInterrupt:  # it has it too, and ends in order
                continue
    lines = os.fsdecode(printed).splitlines()
    return process.returncode, Path(lines[-1]) if lines and process.returncode < 2 else None
