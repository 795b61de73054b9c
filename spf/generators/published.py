"""What published pipelines of video and of stills share: variant, folder, device, identity."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spf.devices import PickledByArguments, choose_device
from spf.errors import UnavailableError, one_line
from spf.extras import require_extra
from spf.generators.weights import INDEX, REPOSITORIES, Repository, plain_files
from spf.identity import code_hash, digest, file_digest, installed
from spf.names import choose
from spf.weights import LOCK, fetch_command, sha256_of

if TYPE_CHECKING:
    from torch import Generator as RandomState

DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of a number by type."""
UNLOADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError)
"""What diffusers raises for files that make no pipeline."""


class PublishedPipeline(PickledByArguments):
    """A pipeline of `REPOSITORIES`, or a local folder in its layout.

    path : a local folder; None looks in the cache of the hub. Nothing is ever downloaded, no code
    of a repository is run, and weights are read from safetensors only. device : auto, cpu, cuda,
    cuda:N. dtype : of the weights; auto is `half` on a GPU and float32 on the CPU.
    """

    name: ClassVar[str]
    group: ClassVar[str] = "model"
    """Of options; a key of `REPOSITORIES`."""
    half: ClassVar[str] = "bfloat16"
    """dtype on a GPU."""

    def __init__(
        self,
        variant: str | None = None,
        path: str | os.PathLike[str] | None = None,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        known = REPOSITORIES[self.group][self.name]
        self.variant = choose(str(variant or next(iter(known))), known, f"variant of {self.name}")
        self.path = path
        self.device = choose_device(device)
        own = "float32" if self.device == "cpu" else self.half
        self.dtype = own if dtype == "auto" else choose(str(dtype), DTYPES, "dtype")

    @property
    def repository(self) -> Repository:
        return REPOSITORIES[self.group][self.name][self.variant]

    @property
    def fetch_command(self) -> str:
        default = self.variant == next(iter(REPOSITORIES[self.group][self.name]))
        return fetch_command(self.group, self.name if default else f"{self.name}/{self.variant}")

    @cached_property
    def folder(self) -> Path:
        """Folder of the weights: `path`, or in the hub's cache.

        Raises UnavailableError, with the command, where there is none, or the extra generators is
        not installed.
        """
        require_extra(f"{self.group} {self.name}", "generators")
        known, option = self.repository, f"{self.group}.path"
        if self.path is None:
            if (found := known.find()) is not None:
                return found
            raise UnavailableError(
                f"{self.group}={self.name}: weights absent ({known.repo}, {known.size}): "
                f"{self.fetch_command}, or {option}=FOLDER"
            )
        if not (Path(self.path) / INDEX).is_file():
            raise UnavailableError(
                f"{option}={self.path}: this is no folder of a pipeline ({INDEX} is not there); "
                f"expected the files of {known.repo}"
            )
        return Path(self.path)

    def weights(self) -> list[Path]:
        """The safetensors files that are loaded."""
        parts = sorted(path for path in self.folder.iterdir() if path.is_dir())
        return [file for part in parts for file in plain_files(part)]

    def identity(self) -> dict[str, Any]:
        """Files, type, versions and code; hashes are noted in a lock file beside the weights."""
        folder = self.folder
        small = sorted(file for file in folder.rglob("*.json") if file.name != LOCK)
        files = [[str(file.relative_to(folder)), file_digest(file)] for file in small]
        files += [
            [str(file.relative_to(folder)), sha256_of(file, folder / LOCK)]
            for file in self.weights()
        ]
        return {
            "name": self.name,
            "files": digest(files),
            "device": self.device.partition(":")[0],
            "dtype": self.dtype,
            "versions": installed("torch", "diffusers", "transformers"),
            "code": code_hash(type(self)),
        }

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What goes wrong while the pipeline is loaded, as one line that names its folder."""
        try:
            yield
        except UNLOADABLE as error:
            raise UnavailableError(
                f"{self.folder}: the pipeline cannot be loaded ({one_line(error)}); expected files "
                f"such as those of {self.repository.repo}"
            ) from None


def random_state(seed: int) -> "RandomState":
    """Noise is drawn on the CPU, so that it is the same on every device."""
    import torch

    return torch.Generator("cpu").manual_seed(seed)
