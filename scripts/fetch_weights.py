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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from spf.errors import ConfigError, SpfError, UnavailableError, one_line
from spf.files import download
from spf.generators.weights import (
    REPOSITORIES,
    Repository,
    assemble,
    cached_folder,
    component_parameters,
    lock_of,
    source_patterns,
)
from spf.generators.weights import names as pipeline_names
from spf.names import choose
from spf.quality.weights import QualityFile, fetched_hashes, lock_file
from spf.quality.weights import names as quality_names
from spf.weights import LOCK, WEIGHTS, Pin, find_cached, note, repository_folder, sha256_of

INTERRUPTED = 130
T = TypeVar("T")

Wanted = Pin | Repository | QualityFile


def main(arguments: list[str] | None = None) -> int:
    names = "; ".join(f"{kind}={', '.join(known)}" for kind, known in _kinds().items())
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog=f"names: {names}"
    )
    parser.add_argument("names", nargs="+", metavar="KIND=NAME", help="such as embedder=siglip")
    args = parser.parse_args(arguments)
    try:
        wanted = [pin for name in args.names for pin in pins_of(name)]
        for pin in wanted:
            print(fetch(pin))
    except SpfError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: start again to go on where it stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def _kinds() -> Mapping[str, Mapping[str, Sequence[Wanted]]]:
    pipelines = {group: pipeline_names(group) for group in REPOSITORIES}
    return {**WEIGHTS, **pipelines, "quality": quality_names()}


def pins_of(text: str) -> Sequence[Wanted]:
    """What KIND=NAME needs. Raises ConfigError for a kind or name that is not known."""
    kind, _, name = text.partition("=")
    known = _kinds()[choose(kind, _kinds(), "kind of weights")]
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
    if isinstance(pin, QualityFile):
        return _fetch_file(pin)
    here = find_cached(pin)
    folder, sha256 = _download(pin) if here is None else (here[0], pin.sha256)
    done = _verified(pin, folder, sha256)
    note(_lock(pin), {}, repo=pin.repo, revision=folder.name)
    return f"{pin.repo}: {'fetched' if here is None else 'already here'}, {done}"


def _fetch_pipeline(repository: Repository) -> str:
    """Have a generator's files here, complete by their own index; the hub's client checks them."""
    folder = cached_folder(repository)
    try:
        if folder is not None and component_parameters(folder, ""):
            return f"{repository.repo}: already here, commit {folder.name[:12]}: {folder}"
    except UnavailableError:
        pass  # a download that was interrupted goes on
    print(f"{repository.repo}: {repository.size}", file=sys.stderr)
    if repository.sources:
        found = {
            repo: _snapshot(repo, None, source_patterns(parts))
            for repo, parts in repository.sources.items()
        }
        folder = assemble(repository, found)
    else:
        folder = _snapshot(repository.repo, repository.revision, repository.patterns)
    component_parameters(folder, "run this again")
    note(lock_of(repository), {}, repo=repository.repo, revision=folder.name)
    return f"{repository.repo}: fetched, commit {folder.name[:12]}: {folder}"


def _fetch_file(file: QualityFile) -> str:
    """Have a single file here, as pinned or, where nothing is, noted from now on."""
    place = file.path
    here = place.is_file()
    if not here:
        _require_online(file.name)
        part = place.with_name(f".{place.name}.part")
        remedy = f"or copy the file from a machine that has it to {place}"
        # Where its hash is pinned, it goes on from what is there already.
        download(file.url, part, file.name, remedy, resume=bool(file.sha256))
        part.replace(place)
    found, expected = file.hash(), file.expected()
    if expected not in (None, found):
        place.unlink()
        raise UnavailableError(
            f"{place}: its SHA-256 is {found[:12]}..., not {str(expected)[:12]}...; it was "
            "removed: run this again"
        )
    note(lock_file(), {}, fetched={**fetched_hashes(), file.name: found})
    how = "as pinned" if file.sha256 else "noted"
    done = f"{'already here' if here else 'fetched'}, SHA-256 {found[:12]}... {how}"
    return f"{file.name}: {done}: {place}"


def _require_online(name: str) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UnavailableError(f"{name}: not here, and HF_HUB_OFFLINE is set; unset it")


def _from_hub(repo: str, named: str, call: Callable[[Any], T]) -> T:
    """What a call of the hub's client gives; named : how a folder with the files is named."""
    import huggingface_hub

    _require_online(repo)
    try:
        return call(huggingface_hub)
    except Exception as error:  # whatever the client's own layers raise
        raise UnavailableError(
            f"{repo}: cannot be fetched ({one_line(error)}); check the network and the proxy "
            f"variables, or copy the files from a machine that has them and name a folder: {named}"
        ) from None


def _snapshot(repo: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Folder of a repository's files, at a commit or the newest one."""

    def call(hub: Any) -> Path:
        commit = revision or hub.HfApi().model_info(repo).sha
        return Path(hub.snapshot_download(repo, revision=commit, allow_patterns=list(patterns)))

    return _from_hub(repo, "model.path=FOLDER", call)


def _download(pin: Pin) -> tuple[Path, str | None]:
    """Folder of the files, and the SHA-256 that the weights should have."""

    def call(hub: Any) -> tuple[Path, str | None]:
        about = hub.HfApi().model_info(pin.repo, revision=pin.revision, files_metadata=True)
        stored = {file.rfilename: file.lfs for file in about.siblings or []}.get(pin.weights)
        patterns = list(pin.files)
        folder = hub.snapshot_download(pin.repo, revision=about.sha, allow_patterns=patterns)
        return Path(folder), pin.sha256 or (stored.sha256 if stored else None)

    named = "--weights FOLDER, or with run.py embedder.path=FOLDER"
    return _from_hub(pin.repo, named, call)


def _verified(pin: Pin, folder: Path, sha256: str | None) -> str:
    file = folder / pin.weights
    if not file.is_file():
        raise UnavailableError(f"{pin.repo}: it holds no {pin.weights}; another version is needed")
    found = sha256_of(file, _lock(pin))
    if sha256 is not None and found != sha256:
        file.resolve().unlink()
        raise UnavailableError(
            f"{file}: its SHA-256 is {found[:12]}..., not {sha256[:12]}...; it was removed: run "
            "this again"
        )
    how = "as pinned" if pin.sha256 else "as published" if sha256 else "noted"
    return f"commit {folder.name[:12]}, SHA-256 {found[:12]}... {how}: {folder}"


def _lock(pin: Pin) -> Path:
    return repository_folder(pin) / LOCK


if __name__ == "__main__":
    sys.exit(main())
