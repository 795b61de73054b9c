"""Options of loading: what each does to the clip, that the warp's hooks stay exact with it, and
what is refused before anything is loaded."""

from __future__ import annotations

import functools
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import miniatures
import numpy as np
import pipelines
import pytest
import warping
from adapters import one_line
from weight_files import (
    low_rank,
    original,
    quantised,
    weights,
    with_weights,
    write_gguf,
    write_lora,
)

from spf.errors import ConfigError, SpfError, UnavailableError
from spf.generators.base import Request
from spf.generators.memory import RESERVE, Workload, estimate
from spf.identity import digest
from spf.pacing.bands import flat

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")
pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = {
    "i2v": ("blocks.0.attn1.to_q", "blocks.1.ffn.net.2"),
    "split": ("transformer_blocks.0.attn1.to_q", "transformer_blocks.1.ff.net.2"),
}


@pytest.fixture(scope="module")
def files(adapters, tmp_path_factory) -> dict[str, Any]:
    """A LoRA for each of two models, and the two experts of Wan as GGUF files."""
    folder = tmp_path_factory.mktemp("files")
    made: dict[str, Any] = {}
    for word, layers in LAYERS.items():
        state = weights(adapters(word).path)
        made[word] = str(write_lora(folder / f"{word}.safetensors", low_rank(state, *layers)))
    experts = [
        quantised(weights(adapters("i2v").path, x)) for x in ("transformer", "transformer_2")
    ]
    experts[1] = {original(name): content for name, content in experts[1].items()}
    names = ("high", "low")
    made["gguf"] = [
        str(write_gguf(folder / f"{x}.gguf", y)) for x, y in zip(names, experts, strict=True)
    ]
    return made


def opened(generator: Any, folder: Path | None = None, **options: Any) -> Any:
    """The same model with options of loading."""
    return miniatures.adapter(generator.case, folder or Path(generator.path), **options)


def named(options: Any, known: dict[str, Any]) -> Any:
    """Options with paths in place of names."""
    if isinstance(options, dict):
        return {name: named(value, known) for name, value in options.items()}
    if isinstance(options, list):
        return [named(value, known) for value in options]
    return known.get(options, options) if isinstance(options, str) else options


def hooks(generator: Any) -> int:
    """How many hooks of torch the transformers have."""
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    modules = chain.from_iterable(rope.transformer.modules() for rope in generator.ropes())
    return sum(len(getattr(module, kind)) for module in modules for kind in kinds)


def far(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - other)


MOVED = {"offload": "group", "tiling": True, "slicing": True, "attention": "native"}
CASES = [
    *((case, MOVED, 0) for case in miniatures.cases() if case != "tiny"),
    ("split", {"attention": "_native_math"}, 1),
    ("i2v", {"quantize": "fp8", "dtype": "bfloat16", "offload": "group", "lora": "i2v"}, None),
    ("split", {"quantize": "fp8"}, None),
    ("i2v", {"gguf": "gguf", "offload": "group", "lora": "i2v"}, None),
    ("split", {"lora": "split", "offload": "model"}, None),
    pytest.param("i2v", {"compile": "inductor"}, 1, marks=pytest.mark.slow),
    pytest.param(
        "i2v",
        {"compile": "eager", "gguf": "gguf", "lora": "i2v", "offload": "group"},
        None,
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("word", "options", "levels"), CASES)
def test_the_warp_is_exact_with_each_option(adapters, files, word, options, levels, monkeypatch):
    """levels : grey levels by which the clip may differ from that without options; None: it must
    differ. Compiling for the processor takes minutes, so one case alone does it."""
    plain = adapters(word)
    if backend := options.get("compile"):
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
        options = options | {"compile": True}
    generator = opened(plain, **named(options, files))
    if levels == 0:
        pipelines.loaded(generator)
    request, warp = warping.asked(plain), warping.uneven(plain)
    clip = generator.generate(request).frames
    before = hooks(generator)
    still = generator.generate(request, warping.uneven(plain, flat(0.0))).frames
    np.testing.assert_array_equal(still, clip)
    warped = generator.generate(request, warp).frames
    assert far(warped, clip).mean() > 1
    assert hooks(generator) == before
    np.testing.assert_array_equal(generator.generate(request).frames, clip)
    if levels is None:
        assert far(clip, warping.baseline(plain)).mean() > 0.5
    else:
        assert far(clip, warping.baseline(plain)).max() <= levels
        assert far(warped, plain.generate(request, warp).frames).max() <= levels


def test_loras_are_products_added_to_the_weights_of_their_experts(wan, tmp_path):
    """Two files with weights, one of them in both experts: as if merged by hand."""
    states = {x: weights(wan.path, x) for x in ("transformer", "transformer_2")}
    first = low_rank(states["transformer"], *LAYERS["i2v"])
    second = low_rank(
        states["transformer"], "blocks.0.attn1.to_k", "blocks.1.attn2.to_out.0", seed=1
    )
    loras = [
        {"file": str(write_lora(tmp_path / "a.safetensors", first)), "weight": 0.7},
        {
            "file": str(write_lora(tmp_path / "b.safetensors", second, theirs=True)),
            "weight": -0.5,
            "expert": "low",
        },
    ]
    for part, state in states.items():
        for layer, (down, up) in first.items():
            state[f"{layer}.weight"] += 0.7 * up @ down
        for layer, (down, up) in second.items() if part == "transformer_2" else ():
            state[f"{layer}.weight"] += -0.5 * 2.0 / 4 * up @ down  # alpha over rank
    merged = opened(wan, with_weights(wan.path, tmp_path / "merged", **states))
    request, warp = warping.asked(wan), warping.uneven(wan)
    expected = merged.generate(request, warp).frames
    made = opened(wan, lora=loras)
    clip = made.generate(request, warp)
    assert far(clip.frames, expected).max() <= 1
    assert clip.notes == [
        "LoRA a.safetensors with weight 0.7",
        "LoRA b.safetensors with weight -0.5 in the expert for low noise",
    ]
    loras[1]["expert"] = "high"
    other = opened(wan, lora=loras).generate(request, warp).frames
    assert far(other, expected).max() > 10


def test_gguf_is_its_dequantised_weights(wan, files, tmp_path):
    """Both experts, one in its authors' names; the folder holds no weights of a transformer."""
    parts = ("transformer", "transformer_2")
    states: dict[str, dict[str, Any]] = {part: {} for part in parts}
    for part in parts:
        for name, (content, kind) in quantised(weights(wan.path, part)).items():
            weight = torch.from_numpy(gguf.quants.dequantize(content, kind).copy())
            small = kind == gguf.GGMLQuantizationType.Q8_0  # which diffusers multiplies in float16
            states[part][name] = weight.half().float() if small else weight
    expected = opened(wan, with_weights(wan.path, tmp_path / "merged", **states))
    bare = with_weights(wan.path, tmp_path / "bare")
    for part in parts:
        (bare / part / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UnavailableError, match="no safetensors"):
        opened(wan, bare).check()
    made = opened(wan, bare, gguf=files["gguf"])
    request, warp = warping.asked(wan), warping.uneven(wan)
    clip = made.generate(request, warp).frames
    assert far(clip, expected.generate(request, warp).frames).max() <= 1
    swapped = opened(wan, bare, gguf=files["gguf"][::-1]).generate(request, warp).frames
    assert far(swapped, clip).max() > 10


def test_tiles_hardly_change_the_picture(wan):
    """256 pixels a tile: two of them side by side."""
    first, last = pipelines.frames(32, 320)
    request = Request(first, last, prompt="a cat", num_frames=5, steps=2)
    whole = wan.generate(request).frames
    tiles = opened(wan, tiling=True).generate(request).frames
    assert 0 < far(whole, tiles).mean() < 2 < whole.std()


def test_attention_of_other_models_stays_as_it_is(adapters):
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    before = _AttentionBackendRegistry.get_active_backend()
    chosen = opened(adapters("split"), attention="_native_math").pipeline.transformer
    assert _AttentionBackendRegistry.get_active_backend() == before
    kinds = {x.processor._attention_backend for x in chosen.modules() if hasattr(x, "processor")}
    assert {x.value for x in kinds} == {"_native_math"}


def test_memory_counts_quantised_weights(wan, files):
    """Q8_0 has 34 bytes for 32 weights; the rest of the file is float32."""
    counts = dict.fromkeys(("transformer", "transformer_2"), 0)
    sizes = dict(counts)
    for part in counts:
        for weight in weights(wan.path, part).values():
            small = weight.ndim == 2 and weight.shape[1] % 32 == 0
            counts[part] += weight.numel()
            sizes[part] += weight.numel() * 34 // 32 if small else weight.numel() * 4
    made = opened(wan, gguf=files["gguf"], quantize="torchao_int8")
    assert made.loading.parameters() == counts
    widths = made.loading.widths()
    assert widths == pytest.approx(
        {part: sizes[part] / counts[part] for part in counts} | {"text_encoder": 1.0}
    )
    counts |= {"text_encoder": 1000, "vae": 10}
    load = Workload(counts, {"": 4} | widths, None, (32, 32), 5, on_gpu=True)
    assert estimate(load).device - RESERVE == sum(sizes.values()) + 1000 + 40
    assert made.workload(made.parameters()).width == {"": 4, "vae": 4, "image_encoder": 4} | widths


def test_identity_has_what_changes_pixels(wan, files, tmp_path):
    other = low_rank(weights(wan.path), *LAYERS["i2v"], seed=2)
    second = str(write_lora(tmp_path / "i2v.safetensors", other))  # same name, other content
    same = [opened(wan, **options) for options in ({}, {"offload": "group"}, {"slicing": True})]
    assert len({digest(x.identity()) for x in same}) == 1
    others: list[dict[str, Any]] = [
        {"lora": files["i2v"]},
        {"lora": second},
        {"lora": {"file": second, "weight": 0.5}},
        {"lora": {"file": second, "expert": "high"}},
        {"gguf": files["gguf"]},
        {"gguf": files["gguf"][::-1]},
        {"quantize": "fp8"},
        {"tiling": True},
        {"compile": True},
        {"attention": "_native_math"},
    ]
    assert len({digest(opened(wan, **x).identity()) for x in [{}, *others]}) == 1 + len(others)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora": "style.pt"}, "model.lora=style.pt: only .safetensors files"),
        ({"lora": ["style.bin"]}, "pickled weights can run code"),
        ({"lora": "absent.safetensors"}, "there is no such file"),
        ({"lora": 3}, "must be a file, or a list"),
        ({"lora": [{"weight": 1}]}, "must have a file"),
        ({"lora": [{"file": "LORA", "scale": 1}]}, "must have a file"),
        ({"lora": [{"file": "LORA", "weight": "1"}]}, "weight='1'"),
        ({"lora": [{"file": "LORA", "weight": float("nan")}]}, "weight=nan"),
        ({"lora": [{"file": "LORA", "expert": "hihg"}]}, "did you mean high"),
        ({"gguf": "LORA"}, "only .gguf files"),
        ({"gguf": ["a.gguf"] * 3}, "must be a file, or .HIGH, LOW."),
        ({"quantize": "bnb"}, "did you mean bnb"),
        ({"offload": "groups"}, "did you mean group"),
        ({"tiling": "yes"}, "model.tiling='yes' must be true or false"),
        ({"attention": "flash_hub"}, "unknown attention"),  # it would be downloaded
        ({"quantize": "bnb4", "offload": "group"}, "use model.offload=model"),
        ({"quantize": "fp8", "offload": "sequential"}, "use model.offload=group"),
        ({"compile": True, "offload": "sequential"}, "use model.offload=group"),
    ],
)
def test_settings_that_cannot_be(options, message, wan, files):
    with pytest.raises(ConfigError, match=message) as caught:
        opened(wan, **named(options, {"LORA": files["i2v"]}))
    one_line(caught)


@pytest.mark.parametrize(
    ("word", "options", "message"),
    [
        ("i2v", {"lora": "split"}, "made for another model .2 of 2 layers do not fit transformer"),
        ("split", {"lora": "i2v"}, "made for another model .2 of 2 layers"),
        (
            "i2v",
            {"lora": "wide"},
            "1 of 2 layers do not fit transformer, blocks.0.attn1.to_q first",
        ),
        (
            "i2v",
            {"lora": "nan"},
            "nan.safetensors: transformer.blocks.0.attn1.to_q.* is not finite",
        ),
        ("i2v", {"lora": "cut.safetensors"}, "damaged, or made for another model"),
        ("i2v", {"lora": "text.safetensors"}, "damaged, or made for another model"),
        ("ti2v", {"lora": [{"file": "i2v", "expert": "low"}]}, "this model has no experts"),
        ("i2v", {"gguf": "high"}, "needs .HIGH, LOW., a file for each expert; 1 were given"),
        ("split", {"gguf": "high"}, "made for another architecture .198 of 198 weights"),
        ("ti2v", {"gguf": "high"}, "another architecture .1 of .* patch_embedding.weight first"),
        ("framepack", {"gguf": "high"}, "diffusers reads none for HunyuanVideoFramepack"),
        ("framepack", {"compile": True}, "names no blocks of HunyuanVideoFramepack"),
        ("split", {"gguf": "cut.gguf"}, "damaged"),
        ("split", {"gguf": "text.gguf"}, "damaged"),
    ],
)
def test_files_for_another_model(word, options, message, adapters, files, tmp_path):
    """Refused before anything is loaded."""
    known = {"i2v": files["i2v"], "split": files["split"], "high": files["gguf"][0]}
    for source in (files["i2v"], files["gguf"][0]):
        content, ending = Path(source).read_bytes(), Path(source).suffix
        for name, damaged in (("cut", content[: len(content) // 2]), ("text", b"version https://")):
            known[name + ending] = str(tmp_path / (name + ending))
            (tmp_path / (name + ending)).write_bytes(damaged)
    factors = low_rank(weights(adapters("i2v").path), *LAYERS["i2v"])
    down, up = factors["blocks.0.attn1.to_q"]
    factors["blocks.0.attn1.to_q"] = down.repeat(1, 2), up
    known["wide"] = str(write_lora(tmp_path / "wide.safetensors", factors))
    factors["blocks.0.attn1.to_q"] = down * float("nan"), up
    known["nan"] = str(write_lora(tmp_path / "nan.safetensors", factors))
    plain = adapters(word)
    generator = opened(plain, **named(options, known))
    with pytest.raises(ConfigError, match=message) as caught:
        generator.generate(warping.asked(plain))
    one_line(caught)
    assert "pipeline" not in generator.__dict__


@pytest.mark.parametrize(
    ("options", "package", "message"),
    [
        ({"lora": "LORA"}, "peft", "model.lora needs the package peft: pip install peft"),
        ({"gguf": "GGUF"}, "gguf", "model.gguf needs the package gguf: pip install gguf"),
        ({"quantize": "bnb4"}, "bitsandbytes", "pip install bitsandbytes"),
        ({"quantize": "torchao_int8"}, "torchao", "pip install torchao"),
        ({"attention": "sage"}, "sageattention", "model.attention needs .* sageattention"),
        ({"quantize": "bnb8"}, "", "model.quantize=bnb8 needs a GPU"),
        ({"offload": "sequential"}, "", "model.offload=sequential needs a GPU"),
        ({"attention": "_native_cudnn"}, "", "model.attention=_native_cudnn needs a GPU"),
    ],
)
def test_what_is_not_installed(options, package, message, wan, files, monkeypatch):
    from spf.generators import custom_weights

    generator = opened(wan, **named(options, {"LORA": files["i2v"], "GGUF": files["gguf"]}))
    monkeypatch.setattr(
        custom_weights, "find_spec", lambda name: None if name == package else SimpleNamespace()
    )
    with pytest.raises(UnavailableError, match=message) as caught:
        generator.check()
    one_line(caught)
    assert isinstance(caught.value, SpfError)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("word", "folder", "message"),
    [
        ("wan21/vace-1.3b", "i2v", "WanTransformer3DModel, not WanVACETransformer3DModel"),
        ("ltxv", "split", "LTX2VideoTransformer3DModel, not LTXVideoTransformer3DModel"),
    ],
)
def test_the_folder_of_another_model(word, folder, message, adapters):
    """Some load, and fail after minutes in the middle of a clip."""
    made = miniatures.adapter(word, Path(adapters(folder).path))
    with pytest.raises(UnavailableError, match=message) as caught:
        made.check()
    one_line(caught)
