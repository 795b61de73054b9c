"""The adapters' contract, through diffusers and on the shipped sampler's protocol; bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pipelines
import psutil
import pytest

from spf.errors import ConfigError, SpfError, UnavailableError
from spf.fingerprint import digest
from spf.generators import weights
from spf.generators.base import Request, one_line_failures, to_uint8
from spf.generators.ltx2 import Ltx2
from spf.generators.tiny.adapter import Tiny
from spf.generators.wan import Wan22
from spf.retime.warp import Warp

torch = pytest.importorskip("torch")
FIRST, LAST = pipelines.frames(32, 48)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Threads cost models this small more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    return Wan22(path=pipelines.save_wan(tmp_path_factory.mktemp("wan")), device="cpu")


@pytest.fixture(scope="module")
def ltx(tmp_path_factory):
    return Ltx2(path=pipelines.save_ltx2(tmp_path_factory.mktemp("ltx")), device="cpu")


def asked(**more: Any) -> Request:
    settings = {"first": FIRST, "last": LAST, "prompt": "a cat", "num_frames": 9, "steps": 2}
    return Request(**(settings | more))


def one_line(caught: pytest.ExceptionInfo[BaseException]) -> None:
    assert "\n" not in str(caught.value)


# What a clip is


def test_a_clip_is_made_of_its_request(wan):
    steps: list[tuple[int, int]] = []
    clip = wan.generate(asked(), watch=lambda done, total: steps.append((done, total)))
    assert clip.frames.shape == (9, 32, 48, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.fps == 16.0
    assert clip.notes == []
    assert steps == [(1, 2), (2, 2)]
    np.testing.assert_array_equal(wan.generate(asked()).frames, clip.frames)
    changes: list[dict[str, Any]] = [
        {"seed": 1},
        {"prompt": "a dog, running"},
        {"negative_prompt": "blue"},
        {"last": FIRST},
        {"last": None},
        {"guidance": 1.0},
        {"steps": 3},
    ]
    for change in changes:
        assert (wan.generate(asked(**change)).frames != clip.frames).any(), change


def test_ltx2_uses_every_part_of_its_request(ltx):
    first, last = pipelines.frames(64, 64)
    usual: dict[str, Any] = {"first": first, "last": last, "num_frames": 9, "fps": 12.0}
    clip = ltx.generate(asked(**usual))
    assert clip.frames.shape == (9, 64, 64, 3)
    assert clip.fps == 12.0
    assert clip.notes == ["the sound track is not kept"]
    for change in ({"seed": 1}, {"last": first}, {"last": None}, {"fps": 24.0}):
        assert (ltx.generate(asked(**(usual | change))).frames != clip.frames).any(), change


def test_the_seed_alone_decides_the_noise(wan):
    """Whatever was drawn before, on this machine's other generators."""
    torch.manual_seed(0)
    one = wan.generate(asked()).frames
    torch.manual_seed(99)
    torch.randn(7)
    np.testing.assert_array_equal(wan.generate(asked()).frames, one)


def test_frames_and_sizes_that_cannot_be_made_are_said(wan):
    first, last = (x[:, :40] for x in pipelines.frames(32, 48))
    clip = wan.generate(asked(first=first, last=last, num_frames=6))
    assert clip.frames.shape == (9, 32, 32, 3)
    assert clip.notes == [
        "9 frames instead of 6: wan22 makes 4n + 1",
        "frames resized from 40x32 to 32x32",
    ]
    assert len(wan.clock(asked(num_frames=6)).positions) == 3
    sized = Wan22(path=wan.path, device="cpu", size=[16, 32])
    sized.__dict__["pipeline"] = wan.pipeline
    assert sized.generate(asked()).frames.shape == (9, 16, 32, 3)


def test_defaults_are_the_models_own(wan, ltx):
    bare = Request(FIRST, LAST)
    plan = wan.plan(bare)
    assert (plan.num_frames, plan.fps, plan.steps, plan.guidance) == (81, 16.0, 40, 3.5)
    assert plan.negative_prompt
    assert wan.plan(Request(FIRST, negative_prompt="")).negative_prompt == ""
    assert (ltx.plan(bare).num_frames, ltx.plan(bare).fps) == (121, 24.0)


def test_identity_names_what_determines_the_pixels(wan, tmp_path):
    known = wan.identity()
    assert json.loads(json.dumps(known)) == known
    assert known == Wan22(path=wan.path, device="cpu").identity()
    others = [Wan22(path=wan.path, device="cpu", dtype="bfloat16")]
    others.append(Wan22(path=wan.path, device="cpu", size=[32, 32]))
    changed = tmp_path / "changed"
    shutil.copytree(wan.path, changed)
    index = changed / "scheduler" / "scheduler_config.json"
    index.write_text(index.read_text().replace('"flow_shift": 3.0', '"flow_shift": 5.0'))
    others.append(Wan22(path=changed, device="cpu"))
    assert len({digest(generator.identity()) for generator in [wan, *others]}) == 4


# Requests that cannot be fulfilled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last": LAST[:16]}, "differ in size .48x32 and 48x16"),
        ({"first": None}, "first frame must be"),
        ({"first": FIRST[None]}, "first frame must be"),
        ({"first": FIRST / 255}, "first frame must be"),
        ({"last": LAST[..., :1]}, "last frame must be"),
        ({"last": "last.png"}, "last frame must be"),
        ({"first": FIRST[:0], "last": LAST[:0]}, "first frame must be"),
        ({"num_frames": 1}, "num_frames=1"),
        ({"num_frames": 8.5}, "num_frames=8.5"),
        ({"steps": 0}, "steps=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=None"),
        ({"fps": 0}, "fps=0"),
        ({"guidance": float("nan")}, "guidance=nan"),
        ({"prompt": 3}, "prompt=3"),
        ({"prompt": None}, "prompt=None"),
        ({"negative_prompt": ["blue"]}, "negative_prompt="),
    ],
)
def test_impossible_requests(change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        asked(**change)
    one_line(caught)


def test_ti2v_refuses_a_last_frame_before_it_looks_for_weights(tmp_path):
    for generator in (Wan22("ti2v"), Wan22(path=index(tmp_path, expand_timesteps=True))):
        with pytest.raises(ConfigError, match="first frame only") as caught:
            generator.generate(asked())
        one_line(caught)


def test_flf2v_needs_a_last_frame():
    with pytest.raises(ConfigError, match="needs a last frame") as caught:
        Wan22("flf2v").generate(asked(last=None))
    one_line(caught)


def test_a_warp_of_another_clip_is_refused(wan, ltx):
    warp = Warp.from_time_map(wan.clock(asked(num_frames=13)), np.arange(13.0))
    for generator in (wan, ltx):
        with pytest.raises(ConfigError, match="for another clip") as caught:
            generator.generate(asked(), warp)
        one_line(caught)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Wan22, {"variant": "i2w"}),
        (Wan22, {"variant": 5}),
        (Wan22, {"dtype": "float8"}),
        (Wan22, {"offload": "disk"}),
        (Wan22, {"size": [480]}),
        (Wan22, {"size": [480, "832"]}),
        (Wan22, {"size": [0, 16]}),
        (Ltx2, {"variant": "i2v"}),
    ],
)
def test_impossible_settings(kind, settings):
    with pytest.raises(ConfigError) as caught:
        kind(device="cpu", **settings)
    one_line(caught)


# Weights and memory


def index(folder: Path, **more: Any) -> Path:
    """A folder that says it is a pipeline, with one component and no weights."""
    kinds = {"transformer": ["diffusers", "WanTransformer3DModel"], "image_encoder": [None, None]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "X", **kinds, **more}))
    (folder / "transformer").mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("generator", "repo", "word"),
    [
        (Wan22(), "Wan2.2-I2V-A14B-Diffusers", "MODEL=wan22,"),
        (Wan22("flf2v"), "Wan2.1-FLF2V-14B-720P-diffusers", "MODEL=wan22/flf2v,"),
        (Wan22("ti2v"), "Wan2.2-TI2V-5B-Diffusers", "MODEL=wan22/ti2v,"),
        (Ltx2(), "Lightricks/LTX-2,", "MODEL=ltx2,"),
        (Ltx2("v2.3"), "diffusers/LTX-2.3-Diffusers", "MODEL=ltx2/v2.3,"),
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
    assert generator.lacking()
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


@pytest.mark.parametrize("damage", ["none", "pickle", "shard", "index", "short", "text"])
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
    elif damage == "index":
        file.with_suffix(".safetensors.index.json").write_text("{}")
        expected = "cannot be read"
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


def test_other_folders(tmp_path):
    with pytest.raises(UnavailableError, match=r"model_index\.json is not there"):
        Wan22(path=tmp_path).check()
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(UnavailableError, match="cannot be read"):
        Wan22(path=tmp_path).check()
    write_safetensors(index(tmp_path) / "transformer" / "diffusion_pytorch_model.safetensors", 8)
    with pytest.raises(UnavailableError, match="cannot be loaded") as caught:
        Wan22(path=tmp_path, device="cpu").generate(asked())
    one_line(caught)


def test_sizes_are_read_from_headers(wan):
    counts = weights.component_parameters(Path(wan.path), "fetch it")
    assert set(counts) == {"text_encoder", "transformer", "transformer_2", "vae"}
    expert = wan.pipeline.transformer
    assert counts["transformer"] == sum(p.numel() for p in expert.parameters())
    assert counts["transformer"] == counts["transformer_2"]


def test_memory_by_hand():
    counts = {"transformer": 10, "transformer_2": 10, "text_encoder": 6, "vae": 1}
    width = {"vae": 4, "": 2}
    needed = weights.memory_needed
    assert needed(counts, width, "none", True) == weights.Memory(20 + 20 + 12 + 4, 0)
    assert needed(counts, width, "model", True) == weights.Memory(20, 56)
    assert needed(counts, width, "sequential", True) == weights.Memory(0, 56)
    assert needed(counts, {"": 4}, "none", False) == weights.Memory(0, 108)


def test_too_little_memory_is_said_before_anything_is_loaded(wan, monkeypatch):
    fresh = Wan22(path=wan.path, device="cpu")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(UnavailableError, match=r"GiB of memory, 0\.0 GiB are free") as caught:
        fresh.generate(asked())
    one_line(caught)
    assert "pipeline" not in fresh.__dict__


@pytest.mark.parametrize(
    ("offload", "remedy"),
    [("none", "model.offload=model"), ("model", "model.offload=sequential")],
)
def test_too_small_a_gpu(offload, remedy, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**34))
    with pytest.raises(UnavailableError, match=f"64.0 GiB of GPU memory.*{remedy}") as caught:
        weights.check_memory("wan22", weights.Memory(2**36, 0), "cuda:0", offload)
    one_line(caught)
    weights.check_memory("wan22", weights.Memory(2**29, 0), "cuda:0", offload)


# Failures on the way


def test_not_a_number_in_the_latents_ends_it(wan):
    """Also in the second expert, at low noise, and under a warp; the model stays usable."""
    plain = wan.generate(asked()).frames
    warp = Warp.from_time_map(wan.clock(asked()), np.arange(9.0))
    for expert, step in ((wan.pipeline.transformer, 1), (wan.pipeline.transformer_2, 2)):
        kept = expert.proj_out.bias.detach().clone()
        with torch.no_grad():
            expert.proj_out.bias.fill_(float("nan"))
        with pytest.raises(SpfError, match=f"after step {step} of 2 latents are not") as caught:
            wan.generate(asked(), warp)
        one_line(caught)
        with torch.no_grad():
            expert.proj_out.bias.copy_(kept)
    np.testing.assert_array_equal(wan.generate(asked()).frames, plain)


def test_a_decoder_that_gives_no_numbers():
    with pytest.raises(SpfError, match="decoded video"):
        to_uint8("wan22", np.array([0.5, np.nan]))
    assert to_uint8("wan22", np.array([-1, 0, 0.5, 1, 2])).tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory.\nTried"), MemoryError(), RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory")],
)  # fmt: skip
def test_running_out_of_memory_is_one_line(wan, error):
    def full(*unused: Any) -> None:
        raise error

    handle = wan.pipeline.vae.decoder.register_forward_hook(full)
    try:
        with pytest.raises(SpfError, match="out of memory while generating") as caught:
            wan.generate(asked())
    finally:
        handle.remove()
    one_line(caught)
    assert caught.value.exit_code == 1


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), one_line_failures("wan22"):
        raise RuntimeError("shapes do not match")


# The shipped generator's adapter; its own tests judge what it draws


def test_tiny_needs_both_frames_and_its_weights(tmp_path):
    with pytest.raises(ConfigError, match="first and a last"):
        Tiny().generate(asked(last=None))
    for act in (Tiny(path=tmp_path).check, Tiny(path=tmp_path).identity):
        with pytest.raises(UnavailableError, match="no weights") as caught:
            act()
        one_line(caught)


@pytest.fixture
def untrained(tmp_path):
    """The shipped generator's network with random weights."""
    from spf.generators.tiny.sampling import SETTINGS_FILE, Settings

    model = pipelines.wan_transformer(channels=10, out_channels=3, text_dim=8, num_layers=1)
    model.save_pretrained(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text(json.dumps(asdict(Settings(num_steps=2))))
    return Tiny(path=tmp_path)


def test_tiny_follows_the_protocol(untrained):
    request = asked(prompt="", steps=None)
    clip = untrained.generate(request)
    assert clip.frames.shape == (9, 32, 32, 3)
    assert clip.notes == ["frames resized from 48x32 to 32x32"]
    clock = untrained.clock(request)
    assert clock.positions.tolist() == list(range(9))  # a latent is a frame
    steps: list[tuple[int, int]] = []
    watch = lambda done, total: steps.append((done, total))  # noqa: E731
    still = Warp.from_time_map(clock, np.arange(9.0), gamma="none")
    np.testing.assert_array_equal(untrained.generate(request, still, watch).frames, clip.frames)
    assert steps == [(1, 2), (2, 2)]
    tau = 8 * (np.arange(9) / 8) ** 3
    warped = untrained.generate(request, Warp.from_time_map(clock, tau, gamma="none")).frames
    assert (warped != clip.frames).any()
    np.testing.assert_array_equal(untrained.generate(request).frames, clip.frames)
    assert "prompt is passed over" in untrained.generate(asked()).notes[0]
    assert untrained.identity()["files"]
