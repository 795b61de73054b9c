"""`python -m benchmarks COMMAND`: the harness's own commands; experiments are run by run.py."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from spf.commands.shared import INTERRUPTED, run_app

Output = Annotated[str, typer.Option(metavar="FOLDER", help="Folder of all results.")]

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Reproduce the paper, and look after what runs have written.",
)


@app.command()
def reproduce(
    profile: Annotated[
        Literal["auto", "embedded", "full"],
        typer.Option(
            help="What this machine can hold with the weights that are here; what ships or "
            "installs alone; everything, or nothing."
        ),
    ] = "auto",
    footage: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Real clips for experiment 2: FOLDER/CLIP.mp4 or FOLDER/CATEGORY/CLIP.mp4.",
        ),
    ] = None,
    experiment: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Run this one alone; may stand several times."),
    ] = None,
    output: Output = "results",
) -> int:
    """Run the paper's experiments, and write their tables and one report.

    Prints the plan first. What was finished before, and whose inputs are unchanged, is taken as it
    is.

    \b
    Examples:
      python -m benchmarks reproduce --profile embedded
      python -m benchmarks reproduce --profile full --footage clips/
      python -m benchmarks reproduce --experiment 2 --experiment 5
    """
    from benchmarks.harness.reproduce import page_name, reproduce

    started = time.perf_counter()
    folder = os.path.expanduser(output)
    real = None if footage is None else os.path.expanduser(footage)
    chosen = sorted({*(experiment or ())})
    code = reproduce(profile, folder, real, chosen)
    if code != INTERRUPTED:
        print(f"done in {time.perf_counter() - started:.0f} s; open the report:")
        print(Path(folder) / "report" / page_name(chosen))
    return code


@app.command()
def verify(
    output: Output = "results",
    reference: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Reference tables (default: results/reference)."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Replace the reference by these tables.")
    ] = False,
) -> int:
    """Compare the tables of a run with the reference, by column.

    Prints every value that differs by more than its column may. Ends with 1 where one does, with 2
    where there is nothing to compare.

    \b
    Examples:
      python -m benchmarks verify
      python -m benchmarks verify --write
    """
    from benchmarks.harness.verify import REFERENCE, compare, write_reference

    known = REFERENCE if reference is None else Path(reference)
    fresh = Path(os.path.expanduser(output)) / "tables"
    if write:
        print(f"{known}: {', '.join(write_reference(fresh, known))}")
        return 0
    differences = compare(known, fresh)
    for one in differences:
        print(one)
    tables = len(list(known.glob("*.csv")))
    print(f"{len(differences)} differences from the {tables} reference tables")
    return int(bool(differences))


@app.command()
def validate(
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="FOLDER", help="Folders (default: results/community)."),
    ] = None,
) -> int:
    """Check results that others may add to; ends with 1 where there is a problem.

    \b
    Example:
      python -m benchmarks validate
    """
    from benchmarks.leaderboard.inputs import COMMUNITY, checked

    found = [line for folder in folders or [str(COMMUNITY)] for line in checked(Path(folder))]
    print("\n".join(found) or "no problems")
    return int(bool(found))


@app.command()
def prune(output: Output = "results") -> int:
    """Remove finished cells that no run refers to any more.

    Delete the folders in FOLDER/runs that are not wanted, then prune. Cells of the last day stay: a
    run that is at work may not have taken them over yet.

    \b
    Example:
      python -m benchmarks prune --output results
    """
    from benchmarks.harness.store import CELLS, prune

    folder = Path(os.path.expanduser(output))
    count, freed = prune(folder)
    print(f"{count} cells removed from {folder / CELLS}, {freed / 1e6:.1f} MB freed")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_app(app, "python -m benchmarks", arguments)


if __name__ == "__main__":
    sys.exit(main())
