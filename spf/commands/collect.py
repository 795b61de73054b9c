"""`spf collect`: build the clips of a public comparison."""

from pathlib import Path
from typing import Annotated

import typer

from spf.commands import options
from spf.errors import ConfigError
from spf.names import plain


def collect(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of a collection, or its .yaml file.")
    ],
    source: Annotated[
        str | None, options.option("FOLDER", "A clone of the repository.", "--from")
    ] = None,
    fetch: Annotated[bool, options.flag("--fetch", "Download the files that are needed.")] = False,
    out: Annotated[
        str | None, options.output_path("CLIPS", "Folder for the clips (default: NAME).")
    ] = None,
) -> int:
    """Build the clips of a public comparison, and check them.

    They become CLIPS/GENERATOR/PAIR.mp4. morphs: six published morphing methods on ten pairs.
    Started again, it goes on where it stopped.

    \b
    Examples:
      spf collect morphs --fetch
      spf collect morphs --from FreeMorph --out clips
    """
    from tqdm import tqdm

    from spf.collect import build_collection, read_collection

    if source is not None and fetch:
        raise ConfigError("--from and --fetch both say where the files are; give one of them")
    collection = read_collection(name)
    folder = Path(out or collection.name).expanduser()
    fields = collection.fields
    print(plain(f"{collection.name}: {fields['title']}"))
    print(f"  source   {fields['repository']} at {fields['commit'][:12]}")
    print(plain(f"  licence  {fields['licence']}"))
    print(plain(f"  by       {fields['attribution']}"), flush=True)
    clone = Path(source).expanduser() if source is not None else None
    with tqdm(total=len(collection.clips), unit="clips", leave=False, disable=None) as bar:
        built = build_collection(collection, folder, clone, fetch, bar.update)
    print(f"{len(collection.clips)} clips {'built' if built else 'were there'}, all as expected")
    print(plain(folder))
    return 0
