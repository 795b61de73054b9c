"""What a GPU changes, in at most 8 minutes: speeds as ratios, and the generators' contract there.

`python scripts/gpu_check.py` needs a CUDA device; `--tiny` runs every part in small on the CPU,
which judges nothing. Parts: ViT-B/16 at 512 pixels in float16 with random weights, its frames a
second alone, from memory, and one frame at a time; one block of Wan 14B at 480p, and the rotary
module with and without the hook; `fit_many` of 1,000 clips with angles from the CPU and from the
GPU; the contract of all generators on their miniatures. Each runs in a process of its own, and
prints what it found as soon as it has.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from bench_retime import BLOCKS
from bench_tools import QUICK, Sizes

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 480.0  # seconds
CONTRACT = "tests/contracts/test_generators.py"


def run(command: list[str], until: float, **environment: str) -> tuple[int, str]:
    """Exit code and output of a command that ends in time; 124 where it had to be ended."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=max(1.0, until - time.monotonic()),
        )
    except subprocess.TimeoutExpired:
        return 124, ""
    return done.returncode, done.stdout


def measured(name: str, sizes: Sizes, until: float) -> dict[str, float]:
    """The figures of a workload of `bench.py`; none where it failed, or there was no time."""
    bench = str(ROOT / "scripts" / "bench.py")
    words = ["--workload", name, "--sizes", json.dumps(asdict(sizes))]
    code, output = run([sys.executable, bench, *words], until)
    found: dict[str, float] = {} if code else json.loads(output.splitlines()[-1])
    return found


def embedding(tiny: bool, sizes: Sizes, until: float) -> str:
    name = "embedding_on_cpu" if tiny else "embedding_on_gpu_from_memory"
    found = measured(name, sizes, until)
    return found and (
        f"{found['whole']:.0f} frames/s, {found['whole'] / found['model']:.2f} of the model alone, "
        f"{found['whole'] / found['single']:.2f} times one frame at a time"
    )


def hook(tiny: bool, sizes: Sizes, until: float) -> str:
    found = measured("hook_overhead", sizes, until)
    if not found:
        return ""
    extra, step = found["hooked"] - found["plain"], BLOCKS * found["block"]
    block = found["block"] + found["plain"]
    return (
        f"block {1000 * found['block']:.3g} ms; with the hook {1 + extra / block:.4f} times one "
        f"block with its rope, {extra / step:.4%} of a denoising step"
    )


def fits(tiny: bool, sizes: Sizes, until: float) -> str:
    found = measured("fits_on_gpu", sizes, until)
    if not found:
        return ""
    other = next(name for name in ("cuda", "cpu") if name in found)
    return (
        f"{sizes.clips // 10} clips: {found['numpy']:.3g} s with NumPy, {found[other]:.3g} s "
        f"with torch on {other} for the angles: {found['numpy'] / found[other]:.2f} times faster; "
        f"differ by {found['difference']:.0e} rad"
    )


def contract(tiny: bool, sizes: Sizes, until: float) -> str:
    words = ["-k", "bit_identical and i2v"] if tiny else []
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", CONTRACT, *words]
    code, output = run(command, until, SPF_TEST_DEVICE="cpu" if tiny else "cuda")
    if code:
        print(output)
    return output.splitlines()[-1] if output and code in (0, 1) else ""


PARTS = {"embedding": embedding, "hook": hook, "fits": fits, "contract": contract}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="in small on the CPU")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    import torch

    if not arguments.tiny and not torch.cuda.is_available():
        print("gpu_check: there is no CUDA device; --tiny runs on the CPU", file=sys.stderr)
        return 3
    print("the CPU, in small" if arguments.tiny else torch.cuda.get_device_name(), flush=True)
    sizes = replace(QUICK, clip_frames=21) if arguments.tiny else Sizes()
    until, failed = time.monotonic() + LIMIT, 0
    for name in arguments.only:
        started = time.monotonic()
        text = PARTS[name](arguments.tiny, sizes, until)
        failed += not text or " failed" in text or " error" in text
        print(f"{name}: {text or 'failed, or no time left'} ({time.monotonic() - started:.0f} s)")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
