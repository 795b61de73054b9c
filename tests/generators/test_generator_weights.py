"""The weights of the published generators: missing, damaged, too large for this machine."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from adapters import LAST, asked, index, one_line

from spf.errors import UnavailableError
from spf.generators.framepack import FramePack
from spf.generators.ltx2 import Ltx2
from spf.generators.ltxv import LtxVideo
from spf.generators.skyreels import SkyReels
from spf.generators.wan import Wan22
from spf.generators.wan21 import Wan21

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("generator", "repo", "word"),
    [
        (Wan22(), "Wan2.2-I2V-A14B-Diffusers", "MODEL=wan22,"),
        (Wan22("ti2v"), "Wan2.2-TI2V-5B-Diffusers", "MODEL=wan22/ti2v,"),
        (Wan21(), "Wan2.1-VACE-1.3B-diffusers", "MODEL=wan21,"),
        (Wan21("vace-14b"), "Wan2.1-VACE-14B-diffusers", "MODEL=wan21/vace-14b,"),
        (Wan21("flf2v"), "Wan2.1-FLF2V-14B-720P-diffusers", "MODEL=wan21/flf2v,"),
        (SkyReels(), "SkyReels-V2-I2V-1.3B-540P-Diffusers", "MODEL=skyreels,"),
        (Ltx2(), "Lightricks/LTX-2,", "MODEL=ltx2,"),
        (Ltx2("v2.3"), "diffusers/LTX-2.3-Diffusers", "MODEL=ltx2/v2.3,"),
        (LtxVideo(), "Lightricks/LTX-Video-0.9.5,", "MODEL=ltxv,"),
        (FramePack(), "lllyasviel/FramePackI2V_HY", "MODEL=framepack,"),
        (LtxVideo("0.9.8-distilled"), "LTX-Video-0.9.8-13B-dist", "MODEL=ltxv/0.9.8-distilled,"),
    ],
)
def test_missing_weights_name_size_and_command(generator, repo, word, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    first = asked(last=None if generator.variant == "ti2v" else LAST)
    for act in (generator.check, lambda: generator.generate(first), generator.identity):
        with pytest.raises(UnavailableError) as caught:
            act()
        one_line(caught)
        assert caught.value.exit_code == 3
        for part in (repo, word, " GB in bfloat16", "model.path=FOLDER"):
            assert part in str(caught.value)
    assert generator.missing_requirements()
    assert generator.clock(first).positions[0] in (0, pytest.approx(0.5 / 24))  # needs no weights


def test_fetched_pipelines_are_found_at_the_noted_commit(monkeypatch, tmp_path, capsys):
    """`make weights MODEL=...`, with a stand-in for the hub that has every repository."""
    import huggingface_hub
    from huggingface_hub import constants

    from scripts import fetch_weights

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    commit, asked_for = "1" * 40, []

    def snapshot_download(repo: str, revision: str, allow_patterns: list[str]) -> str:
        asked_for.append((repo, revision))
        folder = tmp_path / f"models--{repo.replace('/', '--')}" / "snapshots" / revision
        folder.mkdir(parents=True, exist_ok=True)
        file = index(folder) / "transformer" / "diffusion_pytorch_model.safetensors"
        if len(asked_for) > 1:  # the first download is cut short
            write_safetensors(file, 8)
        return str(folder)

    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda self, repo: SimpleNamespace(sha=commit)
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert fetch_weights.main(["model=wan22/ti2v"]) == 3
    assert "no safetensors files; run this again" in capsys.readouterr().err
    assert fetch_weights.main(["model=wan22/ti2v"]) == 0
    assert fetch_weights.main(["model=wan22/ti2v"]) == 0
    assert "already here, commit 111111111111" in capsys.readouterr().out
    assert asked_for == [("Wan-AI/Wan2.2-TI2V-5B-Diffusers", commit)] * 2
    generator = Wan22("ti2v", device="cpu")
    generator.check()
    assert generator.identity()["revision"] == commit
    assert fetch_weights.main(["model=wan2"]) == 2
    assert "did you mean wan22" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch_weights.main(["model=ltx2"]) == 3


def write_safetensors(path: Path, count: int) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(exist_ok=True)
    save_file({"weight": np.zeros(count, np.float32)}, path)


@pytest.mark.parametrize("damage", ["none", "pickle", "shard", "short", "text"])
def test_damaged_folders(damage, tmp_path):
    folder = index(tmp_path)
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    expected = "no safetensors"
    if damage == "pickle":
        (folder / "transformer" / "diffusion_pytorch_model.bin").write_bytes(b"\x80")
    elif damage == "shard":
        write_safetensors(file, 8)
        names = {"weight": file.name, "other": "part2.safetensors"}
        file.with_suffix(".safetensors.index.json").write_text(json.dumps({"weight_map": names}))
        expected = "1 of 2 files are missing, part2"
    elif damage == "short":
        write_safetensors(file, 1000)
        file.write_bytes(file.read_bytes()[:-100])
        expected = "ends too early"
    elif damage == "text":
        file.write_text("version https://git-lfs.github.com/spec/v1")
        expected = "damaged"
    with pytest.raises(UnavailableError, match=expected) as caught:
        Wan22(path=folder, device="cpu").check()
    one_line(caught)


def test_too_little_memory_is_said_before_anything_is_loaded(wan, monkeypatch):
    fresh = Wan22(path=wan.path, device="cpu")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(UnavailableError, match=r"GiB of memory .*0\.0 GiB are free") as caught:
        fresh.generate(asked())
    one_line(caught)
    assert "pipeline" not in fresh.__dict__
