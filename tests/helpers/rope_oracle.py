"""Rotary tables computed from scratch at given positions, and alpha written out: independent of the
hooks that turn finished tables."""

import numpy as np


def alpha(rank, bands, low, high, decay):
    """The authors' formula; rank 0 is the highest frequency."""
    return high + (low - high) * np.exp(-decay * rank / (bands - 1))


def wan_angles(positions, height, width, head_dim):
    """Angles (N, head_dim) of Wan's tables; positions (F, B) by temporal band, highest first."""
    spatial = 2 * (head_dim // 6)
    dims = head_dim - 2 * spatial, spatial, spatial
    return axes_angles(positions, height, width, dims, 10000.0)


def axes_angles(positions, height, width, dims, theta):
    """Angles (N, sum of dims) of tables of time, rows and columns, with dims channels each."""
    rows = []
    for t, y, x in np.ndindex(len(positions), height, width):
        row = []
        for axis, dim in enumerate(dims):
            for i in range(dim // 2):
                row += [(positions[t][i], y, x)[axis] * theta ** (-2 * i / dim)] * 2
        rows.append(row)
    return np.array(rows)


def ltx2_angles(coords, times, rope):
    """Angles of one batch entry of LTX-2's tables, (heads, N, head_dim / 2) or (N, dim), or of
    LTX-Video's, (N, dim).

    coords : (3, N) middles, of which the first row is not used; times : (N, K) seconds by band,
    lowest first.
    """
    extents = (rope.base_num_frames, rope.base_height, rope.base_width)
    bands = rope.dim // 6
    flat = np.zeros((coords.shape[1], rope.dim // 2))
    padding = rope.dim // 2 - 3 * bands
    for k in range(bands):
        rate = np.float32(rope.theta ** (k / (bands - 1)) * np.pi / 2)
        for axis in range(3):
            place = times[:, k] if axis == 0 else coords[axis]
            flat[:, padding + 3 * k + axis] = (2 * place / extents[axis] - 1) * float(rate)
    if getattr(rope, "rope_type", "interleaved") == "interleaved":
        return flat.repeat(2, axis=1)
    heads = rope.num_attention_heads
    return flat.reshape(len(flat), heads, -1).transpose(1, 0, 2)
