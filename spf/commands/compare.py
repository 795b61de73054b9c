"""`spf compare`: the leaderboard of generators."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from spf.commands.options import EmbedderName, NoCache, Out, Weights
from spf.commands.shared import checked_name, embedder_of
from spf.errors import UnavailableError

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def compare(
    clips: Annotated[
        str, typer.Argument(metavar="CLIPS", help="Folder with one folder a generator.")
    ],
    embedder: EmbedderName = None,
    weights: Weights = None,
    out: Out = "results",
    no_cache: NoCache = False,
) -> int:
    """Rank generators by the pacing of CLIPS/GENERATOR/PAIR.mp4.

    \b
    Examples:
      spf compare clips/
      spf compare clips/ --embedder siglip --out results
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
    if no_cache:
        words.append("cache=false")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(script), *words])
