"""Finished cells, shared by all runs of an output folder: none is computed twice.

    OUTPUT/cells/IDENTITY/record.json   the record, its checksum, its files' names and hashes
    OUTPUT/cells/IDENTITY/SHA256        the cell's files, named after their hashes
    OUTPUT/cells/IDENTITY.claim         while somebody computes it (spf.cache.claims)
    OUTPUT/cells/computations.log       a line for each computation that was begun

A cell's folder is written under another name and renamed into place: it is there whole or not at
all, and of two processes that computed the same cell the second one finds the place taken. A run's
folder gets the files under their own names, as hard links where the disk has them.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.running.cells import Cell, Outcome
from benchmarks.running.folder import RunFolder, disk_refuses
from benchmarks.running.records import DONE, SCHEMA, Record
from spf.cache.claims import Claim, tell
from spf.files import synchronise

CELLS = "cells"
RECORD = "record.json"
LOG = "computations.log"
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


class CellStore:
    """The cells of OUTPUT/cells, as one run sees them.

    folder : of the run, which gets the files of its cells. config_hash : of the run; records of
    other runs are given this one. fresh : a word; cells that were made under another one do not
    count, so that they are computed again, once.
    """

    def __init__(
        self, root: Path, folder: RunFolder, config_hash: str = "", fresh: str | None = None
    ) -> None:
        self.root = root
        self.folder = folder
        self.config_hash = config_hash
        self.fresh = fresh

    def load(self, cell: Cell) -> Record | None:
        """The record of a finished cell, whose files are then in the run's folder; None where it is
        absent, failed, damaged, or its inputs cannot be known."""
        stored = self._stored(cell)
        if stored is None or cell.inputs is None or not self._counts(stored):
            return None
        return self._placed(cell, stored)

    def settled(self, cell: Cell) -> bool:
        """Whether the cell has an intact record: done, or failed since this run began. Raises
        DiskError where it cannot be read."""
        return self._stored(cell) is not None

    def settle(self, cell: Cell) -> Record | None:
        """The record of a settled cell, as `load` gives it; None where it is damaged or gone."""
        stored = self._stored(cell)
        return None if stored is None else self._placed(cell, stored)

    def recorded(self) -> set[str]:
        """Identities of all cells that have a folder; one look at the disk."""
        try:
            return set(os.listdir(self.root))
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise disk_refuses(self.root, error, "read") from None

    def forget(self, cell: Cell) -> None:
        """Remove what is kept of a cell; say so where it is damaged. Raises DiskError."""
        folder = self.root / cell.identity
        if not folder.exists():
            return
        stored = self._stored(cell)
        if stored is None or (self._counts(stored) and self._placed(cell, stored) is None):
            what = f"{cell.key.benchmark} {cell.key.model}/{cell.key.clip}"
            tell(f"{what}: its record is damaged ({folder}); it is computed again")
        aside = self._aside()
        try:
            os.rename(folder, aside)  # nobody sees it half-removed
        except FileNotFoundError:
            return  # another process was faster
        except OSError as error:
            raise disk_refuses(folder, error) from None
        shutil.rmtree(aside, ignore_errors=True)

    def claim(self, cell: Cell) -> Claim:
        """The claim on computing a cell; it lies beside the cell, so that who creates it on a
        network's disk sees the cells that were finished before."""
        return Claim(self.root / f"{cell.identity}.claim")

    def log(self, cell: Cell) -> None:
        """Note that a cell's computation begins."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            with open(self.root / LOG, "a") as file:
                file.write(f"{cell.identity} {moment} {socket.gethostname()} {os.getpid()}\n")
        except OSError as error:
            raise disk_refuses(self.root / LOG, error) from None

    def save(self, cell: Cell, record: Record, outcome: Outcome | None) -> None:
        """Keep a record and its files, all at once and synchronised; the first result stays.

        Raises DiskError where the disk refuses; nothing is then kept.
        """
        outcome = outcome or Outcome({})
        stored: dict[str, Any] = {
            "record": record,
            "files": {path: _digest(data) for path, data in outcome.files.items()},
            "timings": outcome.timings,
            "fresh": self.fresh,
        }
        stored["checksum"] = checksum(stored)
        temporary, target = self._aside(), self.root / cell.identity
        try:
            temporary.mkdir(parents=True)
            for path, data in outcome.files.items():
                self._keep(temporary / stored["files"][path], path, data)
            _write(temporary / RECORD, json.dumps(stored, indent=1).encode())
            synchronise(temporary)
            self._publish(cell, temporary, target, record["status"])
        except OSError as error:
            raise disk_refuses(target, error) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _publish(self, cell: Cell, temporary: Path, target: Path, status: str) -> None:
        try:
            os.rename(temporary, target)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            earlier = self._stored(cell)
            if earlier is not None and (earlier["record"]["status"] == DONE or status != DONE):
                return  # another process was faster: the claim of one of the two had expired
            self.forget(cell)
            os.rename(temporary, target)
        with suppress(OSError):  # some file systems refuse
            synchronise(self.root)

    def _keep(self, place: Path, path: str, data: bytes) -> None:
        """A file of a cell: a link to the run's own where that is there (generated clips)."""
        own = self.folder.path(path)
        if not place.exists():  # two files may hold the same
            with suppress(OSError):
                if own.read_bytes() == data:
                    os.link(own, place)
                    return
            _write(place, data)

    def _stored(self, cell: Cell) -> dict[str, Any] | None:
        """What record.json holds, if it is intact and of this schema. Raises DiskError."""
        data = _read(self.root / cell.identity / RECORD)
        if data is None:
            return None
        try:
            stored = json.loads(data)
            known = stored.pop("checksum")
            intact = known == checksum(stored) and stored["record"]["schema"] == SCHEMA
            return stored if intact else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _counts(self, stored: dict[str, Any]) -> bool:
        fresh = self.fresh is None or stored["fresh"] == self.fresh
        return fresh and stored["record"]["status"] == DONE

    def _placed(self, cell: Cell, stored: dict[str, Any]) -> Record | None:
        """The record, with its intact files in the run's folder; None where one is not intact."""
        kept = self.root / cell.identity
        for path, content in stored["files"].items():
            data = _read(kept / content)
            if data is None or _digest(data) != content:
                return None
            self.folder.place(kept / content, path)
        self.folder.place(kept / RECORD, f"{CELLS}/{cell.identity}.json")
        return stored["record"] | {"config_hash": self.config_hash}

    def _aside(self) -> Path:
        return self.root / f".spf-{secrets.token_hex(8)}.tmp"


def checksum(stored: dict[str, Any]) -> str:
    """Hash of what record.json holds, but for the hash itself."""
    return _digest(json.dumps(stored, sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes | None:
    """The bytes of a file; None where it is not there.

    DiskError where it cannot be read: that is no damage, and the next start may find it whole.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno in GONE:
            return None
        raise disk_refuses(path, error, "read") from None


def _write(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
