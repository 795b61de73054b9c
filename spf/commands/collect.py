"""`spf collect`: build the clips of a public comparison."""

import argparse
from pathlib import Path
from typing import Any

from spf.commands.shared import plain


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "collect",
        help="build the clips of a public comparison: CLIPS/GENERATOR/PAIR.mp4",
        description="Build the clips of a public comparison (morphs: six published morphing "
        "methods on ten pairs) from its repository, and check them. Started again, it goes on "
        "where it stopped.",
    )
    command.add_argument("name", metavar="NAME", help="name of a collection, or its .yaml file")
    source = command.add_mutually_exclusive_group()
    source.add_argument("--from", dest="source", metavar="FOLDER", help="a clone of the repository")
    source.add_argument("--fetch", action="store_true", help="download the files that are needed")
    command.add_argument("--out", metavar="CLIPS", help="folder for the clips (default: NAME)")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from spf.collect import build_collection, read_collection

    collection = read_collection(args.name)
    out = Path(args.out or collection.name).expanduser()
    fields = collection.fields
    print(plain(f"{collection.name}: {fields['title']}"))
    print(f"  source   {fields['repository']} at {fields['commit'][:12]}")
    print(plain(f"  licence  {fields['licence']}"))
    print(plain(f"  by       {fields['attribution']}"), flush=True)
    source = Path(args.source).expanduser() if args.source is not None else None
    with tqdm(total=len(collection.clips), unit="clips", leave=False, disable=None) as bar:
        built = build_collection(collection, out, source, args.fetch, bar.update)
    print(f"{len(collection.clips)} clips {'built' if built else 'were there'}, all as expected")
    print(plain(out))
    return 0
