"""What the published image towers share: weights, device, precision, batches, identity."""

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from spf.embedders.network import ImageNetwork
from spf.embedders.preprocess import Preprocess
from spf.errors import UnavailableError, one_line
from spf.extras import missing_extra, require_extra
from spf.identity import code_hash, installed
from spf.names import choose
from spf.weights import EMBEDDER_PINS, LOCK, cache_folder, fetch_command, sha256_of

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
LOCAL = "local folder"


class Tower(ImageNetwork):
    """An image tower: frames -> vectors, with the weights, the loader and the preprocessing of its
    own library.

    path : folder with the weights and their configuration; None looks for the published ones in
    the cache of the hub. Nothing is ever downloaded. model : a variant; None is the family's first,
    or whatever `path` holds. The other settings as in `ImageNetwork`. Vectors do not depend on the
    batch size beyond the rounding of float32 sums (or of the chosen precision).

    The files are checked when the object is made, which loads neither torch nor the model. Raises
    UnavailableError, in one line with the remedy, where the extra towers is not installed, for
    files that are missing, damaged, pickled, of another model or with another hash than the pinned
    one, and for a GPU that is not here; ValueError and ConfigError for unknown names.
    """

    packages: ClassVar[tuple[str, ...]]
    """Distributions whose version can move a vector."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        model: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(device, precision, batch_size)
        require_extra(f"embedder {self.name}", "towers")
        pins = EMBEDDER_PINS[self.name]
        default = next(iter(pins))
        chosen = default if model is None else choose(model, pins, f"{self.name} variant")
        self.pin = pins[chosen]
        self.variant = "" if chosen == default else chosen
        self.model = chosen if path is None or model is not None else LOCAL
        self.path = None if path is None else Path(path)
        self.folder, self.revision = self._locate()
        self.weights = self._check_weights()
        self.is_local = path is not None and self.weights != self.pin.sha256
        try:
            self.preprocess = self._read_preprocess()
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            what = f"{type(error).__name__}: {one_line(error)}"
            raise self.unusable(f"{self.folder}: a configuration not known here ({what})") from None

    @classmethod
    def missing_requirements(cls) -> str:
        if missing := missing_extra("towers"):
            return missing
        pin = next(iter(EMBEDDER_PINS[cls.name].values()))
        command = fetch_command("embedder", cls.name, pin)
        return "" if pin.find() else f"weights absent ({pin.repo}): {command}"

    def identity(self) -> dict[str, Any]:
        configs = [(self.folder / name).read_bytes() for name in self.pin.others]
        return super().identity() | {
            "model": self.model,
            "revision": self.revision,
            "weights": self.weights,
            "config": hashlib.sha256(b"".join(configs)).hexdigest(),
            "versions": installed("torch", "pillow", *self.packages),
            "code": code_hash(type(self)),
        }

    @abstractmethod
    def _read_preprocess(self) -> Preprocess:
        """From the files in the folder. What it raises becomes one line."""

    @abstractmethod
    def _is_mine(self, tensors: Collection[str]) -> bool:
        """Whether weights of these names are of this family."""

    def _locate(self) -> tuple[Path, str]:
        """The folder with all files, and its revision."""
        if self.path is not None:
            for name in self.pin.files:
                if not (self.path / name).is_file():
                    besides = _pickled(self.path)
                    raise self.unusable(f"{self.path}: {name} is not there{besides}")
            return self.path, "none: a local folder"
        found = self.pin.find()
        if found is None:
            commit = f" (commit {self.pin.revision[:12]})" if self.pin.revision else ""
            wanted = f"{' and '.join(self.pin.files)} of {self.pin.repo}{commit}"
            raise self.unusable(f"looked for {wanted} in {cache_folder()}: not there")
        return found, found.name

    def _check_weights(self) -> str:
        """SHA-256 of the weights, which are whole, of this family, and the pinned ones if any."""
        from safetensors import SafetensorError, safe_open

        file = self.folder / self.pin.weights
        try:
            with safe_open(file, "np") as content:
                if not self._is_mine(content.keys()):
                    raise self.unusable(f"{file}: the weights are of another kind of model")
            digest = sha256_of(file, self.folder / LOCK if self.path else self.pin.lock)
        except SafetensorError as error:
            raise self.unusable(f"{file}: cut short, or not safetensors ({error})") from None
        except OSError as error:
            raise self.unusable(f"{file}: {error.strerror or error}") from None
        wanted = self.pin.sha256
        if self.model != LOCAL and wanted not in (None, digest):
            raise self.unusable(
                f"{file}: its SHA-256 is {digest[:12]}..., that of {self.model} {wanted[:12]}..."
            )
        return digest

    def _read_json(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / name).read_text())
        return content

    def unusable(self, reason: str) -> UnavailableError:
        name = f"{self.name}/{self.variant}" if self.variant else self.name
        fetch = fetch_command("embedder", name, self.pin)
        remedy = (
            f"get the weights with {fetch}, or name a folder of them: embedder.path=FOLDER"
            if self.path is None
            else f"name another folder, or none and get the published weights with {fetch}"
        )
        known = "spf doctor lists the embedders that can run here"
        return UnavailableError(f"embedder {name}: {one_line(reason, None)}; {remedy}; {known}")


def _pickled(folder: Path) -> str:
    """What is in a folder in place of weights, for messages."""
    if not folder.is_dir():
        return ", nor is the folder"
    found = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLED)
    return f" ({found[0]} is: pickled weights may run code and are refused)" if found else ""
