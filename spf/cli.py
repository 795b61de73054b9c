"""The `spf` command."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from spf.commands import analyze, collect, corpus, retime
from spf.commands.shared import (
    add_embedder,
    add_no_cache,
    as_options,
    checked_name,
    embedder_of,
    local_path,
    plain,
)
from spf.devices import keep_freed_memory, let_idle_threads_sleep
from spf.errors import SpfError, UnavailableError

CHECKOUT = Path(__file__).resolve().parent.parent
INTERRUPTED = 130
EPILOGUE = """exit codes: 0 done; 1 a clip failed (the others are done); 2 wrong arguments;
3 the embedder or model cannot run here; 130 after Ctrl-C"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    let_idle_threads_sleep()
    keep_freed_memory()
    try:
        given = _parser().parse_args(arguments)
        return given.run(given)
    except SpfError as error:
        print(plain(as_options(str(error))), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader has gone (`spf doctor | head`); spare the interpreter's complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        print(plain(f"{what}; check the disk and its permissions"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spf",
        description="Measure the pacing of videos with the Semantic Progress Function.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    analyze.add(commands)
    retime.add(commands)
    retime.add_timemap(commands)

    compare = commands.add_parser(
        "compare", help="leaderboard of generators: CLIPS/GENERATOR/PAIR.mp4"
    )
    compare.add_argument("clips", metavar="CLIPS", help="folder with one folder a generator")
    add_embedder(compare)
    compare.add_argument(
        "--out", type=local_path, default="results", metavar="FOLDER", help="output folder"
    )
    add_no_cache(compare)
    compare.set_defaults(run=_compare)

    corpus.add(commands)
    collect.add(commands)

    cache = commands.add_parser(
        "cache",
        help="show or clear the embeddings that are kept",
        epilog="SPF_CACHE_DIR moves the folder, SPF_CACHE_SIZE (such as 500MB) bounds it",
    )
    cache.add_argument("--clear", action="store_true", help="remove the entries")
    cache.add_argument("--embedder", help="of this embedder alone")
    cache.set_defaults(run=_cache)

    doctor = commands.add_parser(
        "doctor", help="what this machine has, and what each word would need"
    )
    doctor.set_defaults(run=_doctor)
    return parser


def _version() -> str:
    from spf import __version__

    return f"spf {__version__}"


def _compare(given: argparse.Namespace) -> NoReturn:
    script = CHECKOUT / "run.py"
    if not script.is_file():
        raise UnavailableError(
            "spf compare needs a checkout of the project: run make setup there, then .venv/bin/spf"
        )
    name = checked_name(given.embedder, given.weights)
    embedder_of(name, given.weights)  # what is missing is said in this command's options
    words = ["benchmark=leaderboard", "model=folder"]
    words += [f"model.path={given.clips}", f"output={given.out}"]
    if given.embedder is not None or given.weights is not None:
        words.append(f"embedder={name}")
    if given.weights is not None:
        words.append(f"embedder.path={given.weights}")
    if given.no_cache:
        words.append("cache=false")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(script), *words])


def _cache(given: argparse.Namespace) -> int:
    from spf.cache import user_cache
    from spf.embedders import EMBEDDERS
    from spf.words import choose

    cache = user_cache()
    word = choose(given.embedder, EMBEDDERS, "embedder") if given.embedder else ""
    if given.clear:
        count, size = cache.clear(word)
        print(f"removed {count} entries, {_bytes(size)}, from {plain(cache.folder)}")
        return 0
    entries = cache.entries(word)
    print(f"folder   {plain(cache.folder)}")
    print(f"entries  {len(entries)}")
    print(f"size     {_bytes(sum(size for _, size in entries))}")
    print(f"bound    {_bytes(cache.bound)}")
    return 0


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _doctor(given: argparse.Namespace) -> int:
    from spf.doctor import report

    for line in report():
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
