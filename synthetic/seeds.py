"""Random generators seeded from words, so that a name always means the same random numbers."""

import hashlib

import numpy as np


def generator_for(*words: object) -> np.random.Generator:
    """NumPy generator seeded with the 128-bit BLAKE2b hash of the words (their `str`)."""
    text = "\x1f".join(str(word) for word in words)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
