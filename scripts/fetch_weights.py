"""Fetch published weights into the cache of the Hugging Face hub, and check them.

    python scripts/fetch_weights.py embedder=siglip          (make weights EMBEDDER=siglip)
    python scripts/fetch_weights.py embedder=siglip/b16-384  (another variant)
    python scripts/fetch_weights.py model=wan22              (make weights MODEL=wan22)
    python scripts/fetch_weights.py stills=sdxl              (make weights STILLS=sdxl)
    python scripts/fetch_weights.py quality=vbench           (make weights QUALITY=vbench)

Only the files that are loaded are fetched: safetensors and their configuration, and for VBench, in
VBENCH_CACHE_DIR, what its own package would download. A download that was interrupted goes on where
it stopped. HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN and the usual proxy
variables are respected. Exit codes: 0 everything is here; 2 unknown name; 3 it cannot be had (no
network, offline mode, another hash); 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from spf.errors import ConfigError, SpfError, UnavailableError, one_line
from spf.files import download
from spf.generators.weights import REPOSITORIES, Repository, component_parameters
from spf.names import choose
from spf.quality.weights import QUALITY_FILES, QualityFile
from spf.weights import EMBEDDER_PINS, Pin, note, sha256_of

INTERRUPTED = 130
T = TypeVar("T")

Wanted = Pin | Repository | QualityFile


def by_name(table: Mapping[str, Mapping[str, T]]) -> dict[str, list[T]]:
    """A name for its default, the first variant, and NAME/VARIANT."""
    every = {
        f"{name}/{x}": [pin] for name, variants in table.items() for x, pin in variants.items()
    }
    return {name: [next(iter(variants.values()))] for name, variants in table.items()} | every


KNOWN: dict[str, Mapping[str, Sequence[Wanted]]] = {
    "embedder": by_name(EMBEDDER_PINS),
    **{group: by_name(table) for group, table in REPOSITORIES.items()},
    "quality": QUALITY_FILES,
}
"""Kind -> name -> what it needs."""


def main(arguments: list[str] | None = None) -> int:
    names = "; ".join(f"{kind}={', '.join(known)}" for kind, known in KNOWN.items())
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog=f"names: {names}"
    )
    parser.add_argument("names", nargs="+", metavar="KIND=NAME", help="such as embedder=siglip")
    args = parser.parse_args(arguments)
    try:
        for pin in [pin for name in args.names for pin in pins_of(name)]:
            print(fetch(pin))
    except SpfError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: start again to go on where it stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def pins_of(text: str) -> Sequence[Wanted]:
    """What KIND=NAME needs. Raises ConfigError for a kind or name that is not known."""
    kind, _, name = text.partition("=")
    known = KNOWN[choose(kind, KNOWN, "kind of weights")]
    if not name:
        families = ", ".join(name for name in known if "/" not in name)
        raise ConfigError(f"name the {kind}: make weights {kind.upper()}=WORD, one of {families}")
    return known[choose(name, known, kind)]


def fetch(pin: Wanted) -> str:
    """Have a pin's files here and checked; what was done, in one line.

    Raises UnavailableError where they cannot be had, or have another hash than they should.
    """
    if isinstance(pin, Repository):
        return _fetch_pipeline(pin)
    return _fetch_file(pin) if isinstance(pin, QualityFile) else _fetch_pin(pin)


def _fetch_pin(pin: Pin) -> str:
    """Have the files of an embedder here; where no hash is pinned, the published one counts."""
    folder, expected, state = pin.find(), pin.sha256, "already here"
    if folder is None:
        named = "--weights FOLDER, or with run.py embedder.path=FOLDER"
        folder, hashes = _snapshot(pin.repo, pin.revision, pin.files, named)
        expected, state = expected or hashes.get(pin.weights), "fetched"
    file = folder / pin.weights
    if not file.is_file():
        raise UnavailableError(f"{pin.repo}: it holds no {pin.weights}; another version is needed")
    found = sha256_of(file, pin.lock)
    _compare(file, found, expected, file.resolve())  # the snapshot holds links
    note(pin.lock, repo=pin.repo, revision=folder.name)
    how = "as pinned" if pin.sha256 else "as published" if expected else "noted"
    commit = f"commit {folder.name[:12]}"
    return f"{pin.repo}: {state}, {commit}, SHA-256 {found[:12]}... {how}: {folder}"


def _fetch_pipeline(repository: Repository) -> str:
    """Have a generator's files here, complete by their own index; the hub's client checks them."""
    folder = repository.find()
    try:
        if folder is not None and component_parameters(folder, ""):
            return f"{repository.repo}: already here, commit {folder.name[:12]}: {folder}"
    except UnavailableError:
        pass  # a download that was interrupted goes on
    print(f"{repository.repo}: {repository.size}", file=sys.stderr)
    snapshots = {
        repo: _snapshot(
            repo,
            repository.revision if repo == repository.repo else None,
            patterns,
            "model.path=FOLDER",
        )[0]
        for repo, patterns in repository.wanted().items()
    }
    folder = repository.assemble(snapshots)
    component_parameters(folder, "run this again")
    note(repository.lock, repo=repository.repo, revision=folder.name)
    return f"{repository.repo}: fetched, commit {folder.name[:12]}: {folder}"


def _fetch_file(file: QualityFile) -> str:
    """Have a single file here, as pinned or, where nothing is, noted from now on."""
    place, state = file.path, "already here"
    if not file.find():
        _require_online(file.name)
        part = place.with_name(f".{place.name}.part")
        remedy = f"or copy the file from a machine that has it to {place}"
        # Where its hash is pinned, it goes on from what is there already.
        download(file.url, part, file.name, remedy, resume=bool(file.sha256))
        part.replace(place)
        state = "fetched"
    found = file.hash()
    _compare(place, found, file.expected(), place)
    note(file.lock, fetched={file.name: found})
    how = "as pinned" if file.sha256 else "noted"
    return f"{file.name}: {state}, SHA-256 {found[:12]}... {how}: {place}"


def _compare(file: Path, found: str, expected: str | None, content: Path) -> None:
    """Refuse a file that has another hash than it should, and remove its content."""
    if expected not in (None, found):
        content.unlink()
        raise UnavailableError(
            f"{file}: its SHA-256 is {found[:12]}..., not {str(expected)[:12]}...; it was removed: "
            "run this again"
        )


def _require_online(name: str) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UnavailableError(f"{name}: not here, and HF_HUB_OFFLINE is set; unset it")


def _snapshot(
    repo: str, revision: str | None, patterns: Sequence[str], named: str
) -> tuple[Path, dict[str, str]]:
    """Folder of a repository's files, at a commit or the newest one, and the SHA-256 that the hub
    publishes of the large ones. named : how a folder with the files is named."""
    import huggingface_hub

    _require_online(repo)
    try:
        about = huggingface_hub.HfApi().model_info(repo, revision=revision, files_metadata=True)
        folder = huggingface_hub.snapshot_download(
            repo, revision=about.sha, allow_patterns=list(patterns)
        )
    except Exception as error:  # whatever the client's own layers raise
        raise UnavailableError(
            f"{repo}: cannot be fetched ({one_line(error)}); check the network and the proxy "
            f"variables, or copy the files from a machine that has them and name a folder: {named}"
        ) from None
    return Path(folder), {x.rfilename: x.lfs.sha256 for x in about.siblings or [] if x.lfs}


if __name__ == "__main__":
    sys.exit(main())
