"""What a clip takes: weights, and memory by hand and against tensors that are counted."""

import json
import shutil
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import diffusers
import harness
import miniatures
import numpy as np
import psutil
import pytest
import torch
from adapters import COMMIT, LAST, asked, empty_hub, index, online_hub
from clips import refused
from huggingface_hub.utils import filter_repo_objects
from safetensors.numpy import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from scripts import fetch_weights
from spf.cli import main
from spf.errors import UnavailableError
from spf.generators import load_generator, memory
from spf.generators.memory import GIB, MARGIN, Decoder, Dims, Memory, Workload
from spf.generators.wan import Wan22
from spf.generators.weights import FRAMEPACK, MODEL_REPOSITORIES


class _Alive(TorchDispatchMode):
    def __init__(self, apart):
        super().__init__()
        self.now = self.peak = 0
        self.seen = {tensor.untyped_storage()._cdata for tensor in apart}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.seen:
                    self.seen.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return made

    def _gone(self, key, size):
        self.seen.discard(key)
        self.now -= size


def peak(model, run):
    """Bytes of all tensors alive at the worst moment of `run`, but for those that exist before."""
    with torch.no_grad(), _Alive([*model.parameters(), *model.buffers()]) as alive:
        run()
    return alive.peak


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


def write_safetensors(path, count):
    path.parent.mkdir(exist_ok=True)
    save_file({"weight": np.zeros(count, np.float32)}, path)


def test_fetched_pipelines_are_found_at_the_noted_commit(monkeypatch, tmp_path, capsys):
    fetched = []

    def fill(folder, repo, patterns):
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
    generator, fetched = adapters("framepack"), []

    def fill(folder, repo, patterns):
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
    empty_hub(monkeypatch, tmp_path)
    assert main(["doctor", "--gpus"]) == 0
    printed = capsys.readouterr().out.splitlines()
    page = (harness.ROOT / "docs" / "reference" / "generators.md").read_text().splitlines()
    missing = [line for line in printed if line not in page]
    assert not missing, "put what spf doctor --gpus prints into docs/reference/generators.md"
    names = [f"`{name}` {x}" for name, own in MODEL_REPOSITORIES.items() for x in own]
    rows = [line.strip("| ").split(" | ") for line in printed[2 : printed.index("")]]
    assert [row[0] for row in rows] == names


BY_HAND = Workload(
    {"transformer": 1000, "transformer_2": 2000, "text_encoder": 500, "vae": 100},
    {"": 2, "vae": 4, "transformer": 0.5},
    Dims(16, 2, 64, 4, (4, 16, 16), Decoder(10.0, 2.0, (16, 16))),
    size=(32, 48),
    num_frames=9,
    decoded=4,
)


def test_by_hand():
    """3 latents of 2 x 3 tokens; weights 500, 4000, 1000, 400 bytes."""
    denoising = 18 * (16 * (5 * 2) + max(2 * 64 * 2, 12 * 16, 5 * 16 * 2))
    decoding = 4 * ((10 + 2 * 9) * 32 * 48 + 6 * 9 * 32 * 48)
    assert (denoising, decoding) == (7488, 503808)
    reserve = memory.RESERVE
    assert memory.estimate(BY_HAND) == Memory(5900, 7488, 503808, 5900 + 503808 + reserve, 0)
    for change, device in (
        ({"offload": "model"}, 400 + 503808),
        ({"offload": "sequential"}, 503808),
        ({"offload": "model", "tiling": True}, 400 + 4 * 14 * 9 * 32 * 48),
        ({"tiling": True, "size": (16, 16)}, 5900 + 4 * 14 * 9 * 256),
        ({"attention": "math"}, 5900 + 503808),
    ):
        need = memory.estimate(replace(BY_HAND, **change))
        assert need.device == device + reserve, change
        assert need.main == (0 if "offload" not in change else 5900)
    quadratic = replace(BY_HAND, attention="math", batch=2, appended=1)
    assert memory.estimate(quadratic).denoising == 2 * (24 * 416 + 8 * 2 * 24**2)
    assert memory.estimate(replace(BY_HAND, on_gpu=False)).main == 5900 + 503808
    unknown = memory.estimate(replace(BY_HAND, dims=None))
    assert (unknown.weights, unknown.denoising, unknown.decoding) == (5900, 0, 0)


def full_size(name, config, tokens):
    """Two blocks of a transformer of full width (all, where control blocks lie beside them), and
    its call for a grid of tokens."""
    frames, height, width = tokens
    many = lambda *shape: torch.empty(*shape).bfloat16()  # noqa: E731
    inputs = {"num_frames": frames, "height": height, "width": width}
    config = config if "vace_layers" in config else config | {"num_layers": 2}
    if name == "ltxv":
        wide = config["num_attention_heads"] * config["attention_head_dim"]
        model = diffusers.LTXVideoTransformer3DModel(**config, cross_attention_dim=wide)
        count = (frames + 1) * height * width  # the last frame's tokens are appended
        inputs |= {"hidden_states": many(2, count, 128), "timestep": torch.empty(2, count),
                   "encoder_hidden_states": many(2, 256, 4096),
                   "encoder_attention_mask": torch.empty(2, 256),
                   "video_coords": torch.empty(2, 3, count)}  # fmt: skip
    else:
        kind, channels = diffusers.WanTransformer3DModel, 48 if config["ffn_dim"] == 14336 else 36
        latents = (frames, 2 * height, 2 * width)
        inputs = {"encoder_hidden_states": many(1, 512, 4096), "timestep": torch.empty(1)}
        if channels == 48:  # a time for each token
            inputs["timestep"] = torch.empty(1, frames * height * width)
        if "vace_layers" in config:
            kind, channels = diffusers.WanVACETransformer3DModel, 16
            inputs["control_hidden_states"] = many(1, 96, *latents)
        inputs["hidden_states"] = many(1, channels, *latents)
        model = kind(**config, in_channels=channels, out_channels=16)
    model.to(torch.bfloat16)
    if name.startswith("wan"):
        model.rope.float()
    return model, lambda: model(**inputs)


@pytest.mark.parametrize(("name", "variant", "size", "frames"), [
    ("ltxv", "0.9.5", (512, 768), 121),
    ("wan22", "i2v", (480, 832), 81),
    ("wan22", "ti2v", (704, 1280), 121),
    ("wan21", "vace-1.3b", (480, 832), 81),
])  # fmt: skip
def test_denoising_agrees_with_the_tensors_of_full_size(name, variant, size, frames, monkeypatch):
    generator = load_generator(name, variant=variant, size=size, device="cpu", dtype="bfloat16")
    load = replace(generator.workload({}), num_frames=frames)
    latents = (frames - 1) // generator.factor + 1, *(x // generator.multiple for x in size)
    linear = lambda query, key, value, **more: torch.empty_like(query)  # noqa: E731
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", linear)
    config = dict(generator.repository.published["transformer"])
    with torch.device("meta"):
        counted = peak(*full_size(name, config, latents))
    assert 1 / MARGIN < memory.estimate(load).denoising / counted < MARGIN


@pytest.mark.parametrize("tiling", [False, True])
@pytest.mark.parametrize(("name", "variant", "size", "shape"), [
    ("wan22", "i2v", (256, 448), {"z_dim": 16}),
    ("wan22", "ti2v", (256, 448), {"z_dim": 48, "in_channels": 12, "out_channels": 12,
                                   "scale_factor_spatial": 16}),
    ("ltx2", "v2.0", (1024, 1536),
     {"spatial_compression_ratio": 32, "temporal_compression_ratio": 8}),
])  # fmt: skip
def test_decoding_agrees_with_the_tensors_of_full_size(name, variant, size, shape, tiling):
    frames = 5 if tiling and name == "wan22" else 33  # it goes latent by latent in each tile
    options = {"variant": variant, "size": size, "num_frames": frames, "dtype": "bfloat16"}
    generator = load_generator(name, device="cpu", **options)
    load = replace(generator.workload({}), tiling=tiling)
    config = dict(generator.repository.published["vae"]) | shape
    kind = getattr(diffusers, config.pop("_class_name"))
    channels, scale = config.get("z_dim", 128), {"i2v": 8, "ti2v": 16}.get(variant, 32)
    if "z_dim" in config:
        config |= {"latents_mean": [0.0] * channels, "latents_std": [1.0] * channels}
    dtype = torch.float32 if load.decoded == 4 else torch.bfloat16
    with torch.device("meta"):
        vae = kind(**config).to(dtype)
        if tiling:
            vae.enable_tiling()
        latents = (frames - 1) // generator.factor + 1
        z = torch.empty(1, channels, latents, size[0] // scale, size[1] // scale, dtype=dtype)
        counted = peak(vae, lambda: vae.decode(z, return_dict=False))
    assert 1 / MARGIN < memory.estimate(load).decoding / counted < MARGIN


def test_sizes_are_those_of_the_folders_own_configuration(wan):
    dims = wan.workload({}).dims
    assert (dims.width, dims.heads, dims.feed_forward, dims.blocks) == (64, 2, 64, 2)


def test_a_gpu_that_is_too_small_is_refused_with_what_fits(monkeypatch):
    """Wan2.2 I2V: two transformers of 14.3 billion parameters and a text encoder of 5.7."""
    generator = load_generator("wan22", device="cpu", dtype="bfloat16")
    counts = {name: round(1e9 * x) for name, x in generator.repository.parts.items()}
    load = replace(generator.workload(counts), on_gpu=True)
    makes = lambda count: (count - 1) // 4 * 4 + 1  # noqa: E731
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=128 * GIB))
    for free, remedy in (
        (70, "model.tiling=true"),
        (45, "model.offload=model"),
        (6, "model.offload=group model.tiling=true"),
        (3, "model.offload=sequential model.tiling=true num_frames=37"),
        (0.6, "a larger machine"),
    ):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, x=free: (x * GIB, 140 * GIB))
        with refused(f"{free:.1f} GiB are free; use {remedy}", UnavailableError):
            memory.check_memory("wan22", load, "cuda:0", makes=makes)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * GIB, 140 * GIB))
    memory.check_memory("wan22", load, "cuda:0", makes=makes)
