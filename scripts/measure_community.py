"""Measure a collection with every embedder that can run here, for results/community/COLLECTION.

    python scripts/measure_community.py [COLLECTION [EMBEDDER ...]]    (make community)

It takes the clips of `spf collect COLLECTION --out results/collections/COLLECTION`. An embedder
that cannot run says what it needs, and its earlier results stay. Exit codes: 1 some clips failed or
the results are not valid, 2 the clips are missing or other ones, 3 no embedder can run here.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness.records import commit
from benchmarks.leaderboard.inputs import checked
from spf.collect import Collection, build_collection, read_collection
from spf.errors import ConfigError, SpfError
from spf.files import moved_into_place, write_atomic

EMBEDDERS = ("efficientnet", "siglip", "clip", "dinov2")
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
UNAVAILABLE = 3
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Measure, publish and check; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("collection", nargs="?", default="morphs", metavar="COLLECTION")
    parser.add_argument("embedders", nargs="*", default=EMBEDDERS, metavar="EMBEDDER")
    args = parser.parse_args(arguments)
    try:
        collection = read_collection(args.collection)
        if commit()[1]:
            raise ConfigError("files differ from their commit, which rows name; commit them first")
        clips = RESULTS / "collections" / collection.name
        if not clips.is_dir():
            command = f"spf collect {collection.name} --out results/collections/{collection.name}"
            raise ConfigError(f"{clips}: there are no clips; {command} --fetch (or --from FOLDER)")
        build_collection(collection, clips)  # which checks them
        # All are measured before any is published: tables that change make the checkout differ
        # from its commit, which the rows of the next would say.
        runs = {embedder: measure(collection.name, embedder) for embedder in args.embedders}
    except SpfError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: start again to go on; nothing was published", file=sys.stderr)
        return INTERRUPTED
    published = RESULTS / "community" / collection.name
    for embedder, (code, run) in runs.items():
        if code:
            print(f"{embedder}: not published (exit code {code}, see above)", file=sys.stderr)
        else:
            publish(run, published / embedder)
    if published.is_dir():
        write_atomic(published / "README.md", readme(collection, published))
    found = list(checked(published.parent))
    print("\n".join(found) or f"{published}: no problems")
    codes = {code for code, _ in runs.values()}
    failed = codes - {0, UNAVAILABLE}
    if failed or found:
        return max(failed, default=1)
    return 0 if 0 in codes else UNAVAILABLE


def measure(collection: str, embedder: str) -> tuple[int, Path]:
    """Run the leaderboard; its exit code and its folder."""
    command = [sys.executable, str(ROOT / "run.py"), "benchmark=leaderboard", "model=folder"]
    command += [f"model.path=results/collections/{collection}", f"embedder={embedder}"]
    done = subprocess.run(
        [*command, "logger=csv"], cwd=RESULTS.parent, stdout=subprocess.PIPE, text=True
    )
    return done.returncode, RESULTS.parent / "".join(done.stdout.splitlines()[-1:])


def publish(run: Path, folder: Path) -> None:
    """Copy the tables of a run about its generators; not its plots, which show the clips."""
    with moved_into_place(folder) as temporary:
        temporary.mkdir()
        tables = [path for kind in ("csv", "md") for path in run.glob(f"leaderboard*.{kind}")]
        for table in [run / "records.parquet", *tables]:
            shutil.copyfile(table, temporary / table.name)


def readme(collection: Collection, published: Path) -> str:
    """What was measured, whose it is, and how to measure it again."""
    fields, name = collection.fields, collection.name
    parts = sorted(path.name for path in published.iterdir() if path.is_dir())
    boards = [f"- [{part}]({part}/leaderboard.md)" for part in parts]
    return f"""# {name}: {fields["title"]}

Source: {fields["repository"]}, commit {fields["commit"]}. Licence: {fields["licence"]}.
By: {fields["attribution"]}. The clips are not here; these tables are measurements of them.

{chr(10).join(boards)}

    spf collect {name} --out results/collections/{name} --fetch
    make community COLLECTION={name}

The first command builds the {len(collection.clips)} clips and checks each one's frames; the second
measures them with {", ".join(EMBEDDERS)}, as far as their weights are there, and says what is
missing. records.parquet holds a row a clip with commit, weights, settings and versions.
"""


if __name__ == "__main__":
    sys.exit(main())
