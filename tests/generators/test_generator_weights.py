"""The weights of the published generators: missing, fetched, damaged, too large for here."""

import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import harness
import miniatures
import numpy as np
import psutil
import pytest
from adapters import COMMIT, LAST, asked, empty_hub, index, online_hub, refused

from scripts import fetch_weights
from spf.cli import main
from spf.errors import UnavailableError
from spf.generators import load_generator
from spf.generators.wan import Wan22
from spf.generators.weights import FRAMEPACK, MODEL_REPOSITORIES

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")
FILE = "transformer/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("name", MODEL_REPOSITORIES)
def test_missing_weights_name_size_and_command(name, monkeypatch, tmp_path):
    empty_hub(monkeypatch, tmp_path)
    for number, (variant, known) in enumerate(MODEL_REPOSITORIES[name].items()):
        generator = load_generator(name, variant=variant)
        request = asked(last=None if variant == "ti2v" else LAST)
        wanted = f"{known.repo}, {known.billions:.1f} billion parameters, about .* GB in bfloat16"
        fetch = f"make weights MODEL={name}{f'/{variant}' * bool(number)}, or model.path=FOLDER"
        for act in (generator.check, partial(generator.generate, request), generator.identity):
            with refused(f"{wanted}.: {fetch}", UnavailableError):
                act()
        assert fetch in generator.missing_requirements() or number
        assert generator.clock(request).positions[0] in (0, pytest.approx(0.5 / 24))


def write_safetensors(path: Path, count: int) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(exist_ok=True)
    save_file({"weight": np.zeros(count, np.float32)}, path)


def test_fetched_pipelines_are_found_at_the_noted_commit(monkeypatch, tmp_path, capsys):
    """`make weights MODEL=...`; the first download is cut short."""
    fetched: list[str] = []

    def fill(folder: Path, repo: str, patterns: list[str]) -> None:
        index(folder)
        fetched.append(repo)
        if len(fetched) > 1:
            write_safetensors(folder / FILE, 8)

    online_hub(monkeypatch, tmp_path, fill)
    assert fetch_weights.main(["model=wan22/ti2v"]) == 3
    assert "no safetensors files; run this again" in capsys.readouterr().err
    for _ in range(2):
        assert fetch_weights.main(["model=wan22/ti2v"]) == 0
    assert "already here, commit 111111111111" in capsys.readouterr().out
    assert fetched == ["Wan-AI/Wan2.2-TI2V-5B-Diffusers"] * 2
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**40))
    generator = Wan22("ti2v", device="cpu")
    generator.check()
    assert generator.identity()["revision"] == COMMIT
    assert fetch_weights.main(["model=wan2"]) == 2
    assert "did you mean wan22" in capsys.readouterr().err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetch_weights.main(["model=ltx2"]) == 3


def test_framepack_is_fetched_from_three_repositories(adapters, monkeypatch, tmp_path, capsys):
    """The miniature's components in the repositories' own layout."""
    from huggingface_hub.utils import filter_repo_objects

    generator, fetched = adapters("framepack"), []

    def fill(folder: Path, repo: str, patterns: list[str]) -> None:
        whole = Path(generator.path)
        place = whole / next(iter(FRAMEPACK[repo])) if len(FRAMEPACK[repo]) == 1 else whole
        names = [str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()]
        for name in filter_repo_objects(names, allow_patterns=patterns):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(place / name, folder / name)
            fetched.append(name)

    online_hub(monkeypatch, tmp_path, fill)
    for state in ("fetched", "already here"):
        assert fetch_weights.main(["model=framepack"]) == 0
        assert f"FramePackI2V_HY: {state}, commit 111111111111" in capsys.readouterr().out
    assert FILE not in fetched  # HunyuanVideo's own transformer, of 26 GB
    found = load_generator("framepack", device="cpu", **miniatures.of("framepack")[1].settings)
    found.check()
    assert found.identity()["revision"] == COMMIT
    for name, part in generator.pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            state = getattr(found.pipeline, name).state_dict()
            torch.testing.assert_close(state, part.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [("none", "no safetensors"), ("pickle", "no safetensors"), ("shard", "1 of 2 files .* part2"),
     ("short", "damaged .*not fully covered"), ("text", "damaged")],
)  # fmt: skip
def test_damaged_folders(damage, message, tmp_path):
    folder = index(tmp_path)
    file = folder / FILE
    if damage == "pickle":
        file.with_suffix(".bin").write_bytes(b"\x80")
    elif damage == "text":
        file.write_text("version https://git-lfs.github.com/spec/v1")
    elif damage != "none":
        write_safetensors(file, 1000)
    if damage == "shard":
        names = {"weight": file.name, "other": "part2.safetensors"}
        file.with_suffix(".safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    elif damage == "short":
        file.write_bytes(file.read_bytes()[:-100])
    with refused(message, UnavailableError):
        Wan22(path=folder, device="cpu").check()


def test_too_little_memory_is_noticed_before_anything_is_loaded(wan, monkeypatch):
    fresh = miniatures.like(wan)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    with refused(r"GiB of memory .*0\.0 GiB are free", UnavailableError):
        fresh.generate(asked())
    assert "pipeline" not in fresh.__dict__


def test_the_document_has_the_computed_tables(tmp_path, monkeypatch, capsys):
    """Memory falls with each way to save it, and holds at least the weights."""
    empty_hub(monkeypatch, tmp_path)
    assert main(["doctor", "--gpus"]) == 0
    printed = capsys.readouterr().out.splitlines()
    page = (harness.ROOT / "docs" / "reference" / "generators.md").read_text().splitlines()
    missing = [line for line in printed if line not in page]
    assert not missing, "put what spf doctor --gpus prints into docs/reference/generators.md"
    rows = [line.strip("| ").split(" | ") for line in printed[2 : printed.index("")]]
    every = [
        (f"`{name}` {x}", y) for name, own in MODEL_REPOSITORIES.items() for x, y in own.items()
    ]
    for row, (name, known) in zip(rows, every, strict=True):
        whole, model, bnb4, group, gguf = map(float, row[3:8])
        sizes = {part: 2e9 * billions / 2**30 for part, billions in known.parts.items()}
        assert row[0] == name
        assert whole >= sum(sizes.values())
        assert max(sizes.values()) <= model < whole
        assert bnb4 <= model
        assert gguf <= group <= model
        assert float(row[-1].split()[0]) >= 1.2 * min(whole, model, bnb4, group, gguf)
