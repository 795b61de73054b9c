"""`spf doctor`: what this machine has, and what each option of each config group would need."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from spf.commands import options
from spf.devices import DRIVER
from spf.extras import EXTRAS, install_command, missing_extra
from spf.identity import installed

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PACKAGES = "torch", "diffusers", "transformers", "open_clip_torch", "vbench", "hydra-core", "wandb"


def doctor(
    gpus: Annotated[
        bool,
        options.flag("--gpus", "Show instead which generator fits on which GPU, and its settings."),
    ] = False,
) -> int:
    """Show what this machine has, and what each name would need.

    \b
    Examples:
      spf doctor
      spf doctor --gpus
    """
    if gpus:
        from spf.generators.catalogue import CAPTION, defaults_table, memory_table

        print(*memory_table(), "", *defaults_table(), "", *CAPTION, sep="\n")
        return 0
    for line in report():
        print(line, flush=True)
    return 0


def report() -> Iterator[str]:
    """The doctor's lines, quickest first."""
    import psutil

    from spf.embedders import available
    from spf.quality import VBENCH_DIMENSIONS, missing_package, missing_weights

    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    yield "machine"
    yield f"  python   {sys.version.split()[0]}"
    yield f"  cores    {len(os.sched_getaffinity(0))}"
    yield f"  memory   {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    yield f"  disk     {disk.free / 2**30:.1f} GiB free here"
    yield f"  GPU      {_gpu()}"
    yield "packages"
    for name, version in installed(*PACKAGES).items():
        yield f"  {name:<16} {version}"
    yield "extras"
    for extra in EXTRAS:
        state = f"absent: {install_command(extra)}" if missing_extra(extra) else "installed"
        yield f"  {extra:<16} {state}"
    yield "weights"  # of the Hugging Face cache, which all loaders share
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    yield f"  cache    {cache}{'' if cache.is_dir() else ' (not there)'}"
    for name in sorted(path.name for path in cache.glob("models--*")) or ["none"]:
        yield f"  found    {name.removeprefix('models--').replace('--', '/')}"
    yield "embedders"
    for name, reason in available().items():
        yield f"  {name:<16} {f'not available: {reason}' if reason else 'available'}"
    yield "VBench dimensions"
    for dimension in VBENCH_DIMENSIONS:
        missing = missing_weights(dimension)
        reason = missing_package(dimension) or (f"weights absent ({missing})" if missing else "")
        yield f"  {dimension:<24} {f'not available: {reason}' if reason else 'available'}"
    yield "W&B"
    yield f"  {_wandb()}"
    yield from _options()


def _gpu() -> str:
    # Importing torch takes seconds: ask it only where a driver is installed.
    if not DRIVER.exists():
        return "none"
    import torch

    if not torch.cuda.is_available():
        return "a driver is installed, but torch sees no CUDA device"
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return ", ".join(f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)" for gpu in found)


def _wandb() -> str:
    if importlib.util.find_spec("wandb") is None:
        return "absent: it comes with the extra harness"
    mode = os.environ.get("WANDB_MODE")
    if mode:
        return f"WANDB_MODE={mode}"
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    try:
        if wandb.login(prompt=False):
            return "logged in: runs go online"
    except Exception as error:  # whatever W&B raises, the doctor goes on
        return f"credentials are here, but do not work ({error}); runs are written offline"
    return "not logged in: runs are written offline (wandb login changes that)"


def _options() -> Iterator[str]:
    """The first line of every config says what its option is and needs."""
    configs = CHECKOUT / "configs"
    if not configs.is_dir():
        yield "options: not shown, this is no checkout of the project"
        return
    for group in sorted(path for path in configs.iterdir() if path.is_dir()):
        yield f"{group.name}="
        for file in sorted(group.glob("*.yaml")):
            first = file.read_text().partition("\n")[0]
            yield f"  {file.stem:<16} {first.lstrip('# ')}"
