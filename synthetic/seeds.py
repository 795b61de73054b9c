"""Random generators seeded from names, so that one always means the same random numbers."""

import hashlib

import numpy as np


def generator_for(*names: object) -> np.random.Generator:
    """NumPy generator seeded with the 128-bit BLAKE2b hash of the names (their `str`)."""
    text = "\x1f".join(str(name) for name in names)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
