"""LoRAs and GGUF files for the miniatures."""

import shutil
from pathlib import Path

import gguf
import torch

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
    from safetensors.torch import load_file

    return load_file(Path(folder) / part / "diffusion_pytorch_model.safetensors")


def with_weights(folder, to, **parts):
    """A copy of a pipeline with other weights in some of its components."""
    from safetensors.torch import save_file

    shutil.copytree(folder, to)
    for part, state in parts.items():
        save_file(state, to / part / "diffusion_pytorch_model.safetensors")
    return to


def write_lora(file, layers, theirs=False):
    """A LoRA of (down, up) by layer, in diffusers' layout or in that of ComfyUI with alpha 2."""
    from safetensors.torch import save_file

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
    """Factors (down, up) of rank 4, large enough to show."""
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
