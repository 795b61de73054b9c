"""Options of loading: what each does to the clip, that the warp's hooks stay exact with it, and
what is refused before anything is loaded."""

import functools
import shutil
from pathlib import Path
from types import SimpleNamespace

import clips
import gguf
import numpy as np
import pipelines
import pytest
import torch
import warping
from clips import refused
from miniatures import adapter, hooks, like
from safetensors.torch import load_file, save_file

from spf.errors import UnavailableError
from spf.generators.base import Request
from spf.generators.memory import RESERVE, Workload, estimate
from spf.identity import digest
from spf.pacing.warp import flat

pytestmark = pytest.mark.usefixtures("one_thread")

# diffusers' names of Wan's weights -> those of the model's authors, in which GGUF files have them.
ORIGINAL = {
    **{f"condition_embedder.{x}_embedder.linear_{n}": f"{x}_embedding.{2 * n - 2}"
       for x in ("time", "text") for n in (1, 2)},
    "condition_embedder.time_proj": "time_projection.1",
    "attn1": "self_attn", "attn2": "cross_attn",
    ".to_out.0.": ".o.", ".to_q.": ".q.", ".to_k.": ".k.", ".to_v.": ".v.",
    "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2",
    "norm3": "norm_placeholder", "norm2": "norm3", "norm_placeholder": "norm2",
    "scale_shift_table": "modulation", "proj_out": "head.head",
}  # fmt: skip


def original(name):
    if name == "scale_shift_table":
        return "head.modulation"
    for ours, theirs in ORIGINAL.items():
        name = name.replace(ours, theirs)
    return name


def weights(folder, part="transformer"):
    return load_file(Path(folder) / part / "diffusion_pytorch_model.safetensors")


def with_weights(folder, to, **parts):
    shutil.copytree(folder, to)
    for part, state in parts.items():
        save_file(state, to / part / "diffusion_pytorch_model.safetensors")
    return to


def saved_lora(file, layers, theirs=False):
    """A LoRA of (down, up) by layer, in diffusers' layout or in that of ComfyUI with alpha 2."""
    state = {}
    for layer, (down, up) in layers.items():
        if theirs:
            name = f"diffusion_model.{original(layer + '.').rstrip('.')}"
            state |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
            state[f"{name}.alpha"] = torch.tensor(2.0)
        else:
            name = f"transformer.{layer}"
            state |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    save_file(state, file)
    return file


def low_rank(state, *layers, seed=0):
    random = torch.Generator().manual_seed(seed)
    made = {}
    for layer in layers:
        rows, columns = state[f"{layer}.weight"].shape
        down = torch.randn(4, columns, generator=random) * 0.3
        made[layer] = down, torch.randn(rows, 4, generator=random) * 0.3
    return made


def quantised(state):
    """Name -> (content, type) of a GGUF file in which matrices have 8 bits a weight."""
    types = gguf.GGMLQuantizationType
    made = {}
    for name, weight in state.items():
        kind = types.Q8_0 if weight.ndim == 2 and weight.shape[1] % 32 == 0 else types.F32
        made[name] = gguf.quants.quantize(weight.numpy(), kind), kind
    return made


def write_gguf(file, tensors):
    writer = gguf.GGUFWriter(str(file), "wan")
    for name, (content, kind) in tensors.items():
        writer.add_tensor(name, content, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


LAYERS = {
    "i2v": ("blocks.0.attn1.to_q", "blocks.1.ffn.net.2"),
    "split": ("transformer_blocks.0.attn1.to_q", "transformer_blocks.1.ff.net.2"),
}
PARTS = ("transformer", "transformer_2")


@pytest.fixture(scope="module")
def files(adapters, tmp_path_factory):
    """LoRAs of two models, the experts of Wan as GGUF files, and files that fit nothing."""
    folder, query = tmp_path_factory.mktemp("files"), "blocks.0.attn1.to_q"
    loras = {x: low_rank(weights(adapters(x).path), *layers) for x, layers in LAYERS.items()}
    down, up = loras["i2v"][query]
    loras["wide"] = loras["i2v"] | {query: (down.repeat(1, 2), up)}
    loras["nan"] = loras["i2v"] | {query: (down * float("nan"), up)}
    made = {x: str(saved_lora(folder / f"{x}.safetensors", y)) for x, y in loras.items()}
    for name, part in zip(("high", "low"), PARTS, strict=True):
        tensors = quantised(weights(adapters("i2v").path, part))
        if name == "low":
            tensors = {original(key): content for key, content in tensors.items()}
        made[f"{name}.gguf"] = str(write_gguf(folder / f"{name}.gguf", tensors))
    for source in (Path(made["i2v"]), Path(made["high.gguf"])):
        name = f"cut{source.suffix}"
        made[name] = str(clips.cut(source, folder / name, 0.5))
    return made | {"gguf": [made["high.gguf"], made["low.gguf"]]}


def named(options, known):
    if isinstance(options, dict):
        return {name: named(value, known) for name, value in options.items()}
    if isinstance(options, list):
        return [named(value, known) for value in options]
    return known.get(options, options) if isinstance(options, str) else options


def far(one, other):
    return np.abs(one.astype(int) - other)


MOVED = {"offload": "group", "tiling": True, "slicing": True, "attention": "native"}


@pytest.mark.parametrize(("case", "options", "levels"), [
    *((case, MOVED, 0) for case in ("i2v", "split", "ltxv", "framepack")),
    ("i2v", {"offload": "model"}, 0),
    ("split", {"attention": "_native_math"}, 1),
    ("i2v", {"quantize": "fp8", "dtype": "bfloat16", "offload": "group", "lora": "i2v"}, None),
    ("i2v", {"gguf": "gguf", "offload": "group", "lora": "i2v"}, None),
    ("split", {"lora": "split", "offload": "model"}, None),
    pytest.param("i2v", {"compile": "inductor"}, 1, marks=pytest.mark.slow),
    pytest.param("i2v", {"compile": "eager", "gguf": "gguf", "lora": "i2v",
                         "offload": "group"}, None, marks=pytest.mark.slow),
])  # fmt: skip
def test_the_warp_is_exact_with_each_option(adapters, files, case, options, levels, monkeypatch):
    """levels : by which the clip may differ from that without options; None: it must differ."""
    plain = adapters(case)
    if backend := options.get("compile"):
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
        options = options | {"compile": True}
    generator = like(plain, **named(options, files))
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
    states = {x: weights(wan.path, x) for x in PARTS}
    first = low_rank(states["transformer"], *LAYERS["i2v"])
    others = "blocks.0.attn1.to_k", "blocks.1.attn2.to_out.0"
    second = low_rank(states["transformer"], *others, seed=1)
    a = {"file": str(saved_lora(tmp_path / "a.safetensors", first)), "weight": 0.7}
    b = {"file": str(saved_lora(tmp_path / "b.safetensors", second, theirs=True)), "weight": -0.5}
    for part, state in states.items():
        for layer, (down, up) in first.items():
            state[f"{layer}.weight"] += 0.7 * up @ down
        for layer, (down, up) in second.items() if part == "transformer_2" else ():
            state[f"{layer}.weight"] += -0.5 * 2.0 / 4 * up @ down  # alpha over rank
    merged = like(wan, with_weights(wan.path, tmp_path / "merged", **states))
    request, warp = warping.asked(wan), warping.uneven(wan)
    expected = merged.generate(request, warp).frames
    clip = like(wan, lora=[a, b | {"expert": "low"}]).generate(request, warp)
    assert far(clip.frames, expected).max() <= 1
    assert clip.notes == [
        "LoRA a.safetensors with weight 0.7",
        "LoRA b.safetensors with weight -0.5 in the expert for low noise",
    ]
    other = like(wan, lora=[a, b | {"expert": "high"}]).generate(request, warp).frames
    assert far(other, expected).max() > 10


def test_gguf_is_its_dequantised_weights(wan, files, tmp_path):
    states = {part: {} for part in PARTS}
    for part in PARTS:
        for name, (content, kind) in quantised(weights(wan.path, part)).items():
            weight = torch.from_numpy(gguf.quants.dequantize(content, kind).copy())
            small = kind == gguf.GGMLQuantizationType.Q8_0  # which diffusers multiplies in float16
            states[part][name] = weight.half().float() if small else weight
    expected = like(wan, with_weights(wan.path, tmp_path / "merged", **states))
    bare = with_weights(wan.path, tmp_path / "bare")
    for part in PARTS:
        (bare / part / "diffusion_pytorch_model.safetensors").unlink()
    with refused("no safetensors", UnavailableError):
        like(wan, bare).check()
    request, warp = warping.asked(wan), warping.uneven(wan)
    clip = like(wan, bare, gguf=files["gguf"]).generate(request, warp).frames
    assert far(clip, expected.generate(request, warp).frames).max() <= 1
    swapped = like(wan, bare, gguf=files["gguf"][::-1]).generate(request, warp).frames
    assert far(swapped, clip).max() > 10


def test_attention_of_other_models_stays_as_it_is(adapters):
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    before = _AttentionBackendRegistry.get_active_backend()
    chosen = like(adapters("split"), attention="_native_math").pipeline.transformer
    assert _AttentionBackendRegistry.get_active_backend() == before
    kinds = {x.processor._attention_backend for x in chosen.modules() if hasattr(x, "processor")}
    assert {x.value for x in kinds} == {"_native_math"}


def test_memory_counts_quantised_weights(wan, files):
    """Q8_0 has 34 bytes for 32 weights; the rest of the file is float32."""
    counts, sizes = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
    for part in PARTS:
        for weight in weights(wan.path, part).values():
            small = weight.ndim == 2 and weight.shape[1] % 32 == 0
            counts[part] += weight.numel()
            sizes[part] += weight.numel() * 34 // 32 if small else weight.numel() * 4
    made = like(wan, gguf=files["gguf"], quantize="torchao_int8")
    assert made.loading.parameters() == counts
    widths = made.loading.widths()
    expected = {part: sizes[part] / counts[part] for part in PARTS} | {"text_encoder": 1.0}
    assert widths == pytest.approx(expected)
    assert made.workload(made.parameters()).width == {"": 4, "vae": 4, "image_encoder": 4} | widths
    counts |= {"text_encoder": 1000, "vae": 10}
    load = Workload(counts, {"": 4} | widths, None, (32, 32), 5, on_gpu=True)
    assert estimate(load).device - RESERVE == sum(sizes.values()) + 1000 + 40


def test_identity_has_what_changes_pixels(wan, files, tmp_path):
    other = low_rank(weights(wan.path), *LAYERS["i2v"], seed=2)
    second = str(saved_lora(tmp_path / "i2v.safetensors", other))  # same name, other content
    same = [{}, {"offload": "group"}, {"slicing": True}]
    assert len({digest(like(wan, **options).identity()) for options in same}) == 1
    others = [
        *({"lora": files["i2v"]}, {"lora": second}, {"lora": {"file": second, "weight": 0.5}}),
        *({"lora": {"file": second, "expert": "high"}}, {"gguf": files["gguf"]}),
        *({"gguf": files["gguf"][::-1]}, {"quantize": "fp8"}, {"tiling": True}),
        *({"compile": True}, {"attention": "_native_math"}),
    ]
    assert len({digest(like(wan, **x).identity()) for x in [{}, *others]}) == 1 + len(others)


@pytest.mark.parametrize(("options", "message"), [
    ({"lora": "style.pt"}, "model.lora=style.pt: only .safetensors .* pickled weights can run"),
    ({"lora": ["absent.safetensors"]}, "there is no such file"),
    ({"lora": 3}, "must be a file, or a list"),
    ({"lora": [{"weight": 1}]}, "must have a file"),
    ({"lora": [{"file": "i2v", "scale": 1}]}, "must have a file"),
    ({"lora": [{"file": "i2v", "weight": float("nan")}]}, "weight=nan"),
    ({"lora": [{"file": "i2v", "expert": "hihg"}]}, "did you mean high"),
    ({"gguf": "i2v"}, "only .gguf files"),
    ({"gguf": ["a.gguf"] * 3}, "must be a file, or .HIGH, LOW."),
    ({"quantize": "bnb"}, "did you mean bnb"),
    ({"tiling": "yes"}, "model.tiling='yes' must be true or false"),
    ({"attention": "flash_hub"}, "unknown attention"),  # it would be downloaded
    ({"quantize": "bnb4", "offload": "group"}, "use model.offload=model"),
    ({"compile": True, "offload": "sequential"}, "use model.offload=group"),
])  # fmt: skip
def test_settings_that_cannot_be(options, message, wan, files):
    with refused(message):
        like(wan, **named(options, files))


@pytest.mark.parametrize(("case", "options", "message"), [
    ("i2v", {"lora": "split"}, "another model .2 of 2 layers do not fit transformer"),
    ("i2v", {"lora": "wide"}, "1 of 2 layers do not fit transformer, blocks.0.attn1.to_q firs"),
    ("i2v", {"lora": "nan"}, "nan.safetensors: transformer.blocks.0.attn1.to_q.* is not finit"),
    ("i2v", {"lora": "cut.safetensors"}, "damaged, or made for another model"),
    ("ti2v", {"lora": [{"file": "i2v", "expert": "low"}]}, "this model has no experts"),
    ("i2v", {"gguf": "high.gguf"}, "needs .HIGH, LOW., a file for each expert; not 1"),
    ("split", {"gguf": "high.gguf"}, "made for another architecture .198 of 198 weights"),
    ("ti2v", {"gguf": "high.gguf"}, "another architecture .1 of .* patch_embedding.weight first"),
    ("framepack", {"gguf": "high.gguf"}, "diffusers reads none for HunyuanVideoFramepack"),
    ("framepack", {"compile": True}, "names no blocks of HunyuanVideoFramepack"),
    ("split", {"gguf": "cut.gguf"}, "damaged"),
])  # fmt: skip
def test_files_for_another_model(case, options, message, adapters, files):
    plain = adapters(case)
    generator = like(plain, **named(options, files))
    with refused(message):
        generator.generate(warping.asked(plain))
    assert "pipeline" not in generator.__dict__


@pytest.mark.parametrize(("options", "package", "message"), [
    ({"lora": "i2v"}, "peft", "model.lora needs the package peft: pip install peft"),
    ({"gguf": "gguf"}, "gguf", "model.gguf needs the package gguf: pip install gguf"),
    ({"quantize": "torchao_int8"}, "torchao", "pip install torchao"),
    ({"attention": "sage"}, "sageattention", "model.attention needs .* sageattention"),
    ({"quantize": "bnb8"}, "", "model.quantize=bnb8 needs a GPU"),
    ({"offload": "sequential"}, "", "model.offload=sequential needs a GPU"),
    ({"attention": "_native_cudnn"}, "", "model.attention=_native_cudnn needs a GPU"),
])  # fmt: skip
def test_what_is_not_installed(options, package, message, wan, files, monkeypatch):
    found = lambda name: None if name == package else SimpleNamespace()  # noqa: E731
    generator = like(wan, **named(options, files))
    monkeypatch.setattr("spf.generators.custom_weights.find_spec", found)
    with refused(message, UnavailableError):
        generator.check()


@pytest.mark.parametrize(("case", "folder", "message"), [
    ("wan21/vace-1.3b", "i2v", "WanTransformer3DModel, not WanVACETransformer3DModel"),
    ("ltxv", "split", "LTX2VideoTransformer3DModel, not LTXVideoTransformer3DModel"),
])  # fmt: skip
def test_the_folder_of_another_model(case, folder, message, adapters):
    with refused(message, UnavailableError):
        adapter(case, adapters(folder).path).check()


def test_tiles_hardly_change_the_picture(wan):
    """256 pixels a tile: two of them side by side."""
    first, last = pipelines.frames(32, 320)
    request = Request(first, last, prompt="a cat", num_frames=5, steps=2)
    whole, tiles = (x.generate(request).frames for x in (wan, like(wan, tiling=True)))
    assert 0 < far(whole, tiles).mean() < 2 < whole.std()
