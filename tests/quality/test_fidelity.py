"""How close end frames are to the frames that were given: by scikit-image, and by hand."""

from __future__ import annotations

from math import log10, nan
from typing import Any

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

import spf
from spf.embedders import load_embedder
from spf.quality import Conditions
from spf.quality.fidelity import FIDELITY, MAXIMAL_PSNR, cropped, end_fidelity, psnr


def picture(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_psnr_is_scikit_images_up_to_what_rounding_allows() -> None:
    made, given = picture(0), picture(1)
    assert psnr(made, given) == pytest.approx(peak_signal_noise_ratio(given, made, data_range=255))
    near = made ^ 1  # one grey level everywhere: MSE 1
    assert psnr(near, made) == pytest.approx(20 * log10(255))
    assert psnr(made, made) == MAXIMAL_PSNR == pytest.approx(58.92, abs=0.01)
    single = made.copy()
    single[0, 0, 0] ^= 1  # below what rounding makes: as good as identical
    assert psnr(single, made) == MAXIMAL_PSNR
    assert psnr(np.zeros_like(made), np.full_like(made, 255)) == FIDELITY["first_psnr"].minimum


def test_ends_are_compared_with_their_own() -> None:
    """Four frames that all differ, so that swapped ones would show."""
    first, last, given, other = map(picture, range(4))
    found = end_fidelity(first, last, Conditions(given, other), load_embedder("histogram"))
    vectors = spf.embed(np.stack([first, given, last, other]), "histogram").astype(np.float64)
    for end, (made, asked), pair in (
        ("first", (first, given), vectors[:2]),
        ("last", (last, other), vectors[2:]),
    ):
        expected = peak_signal_noise_ratio(asked, made, data_range=255)
        assert found[f"{end}_psnr"] == pytest.approx(expected)
        assert found[f"{end}_angle"] == pytest.approx(np.arccos(pair[0] @ pair[1]), abs=1e-6)
    alone = end_fidelity(first, last, Conditions(first), load_embedder("histogram"))
    assert alone == pytest.approx(
        {"first_psnr": MAXIMAL_PSNR, "last_psnr": nan, "first_angle": 0.0, "last_angle": nan},
        nan_ok=True,
    )
    unknown = end_fidelity(first, last, Conditions(), load_embedder("histogram"))
    assert unknown == pytest.approx(dict.fromkeys(FIDELITY, nan), nan_ok=True)


@pytest.mark.parametrize(
    ("shape", "size", "kept"),
    [
        ((20, 60), (10, 10), (slice(0, 20), slice(20, 40))),  # wider: its sides are cut
        ((60, 20), (10, 10), (slice(20, 40), slice(0, 20))),  # higher: top and bottom
        ((20, 40), (10, 20), (slice(0, 20), slice(0, 40))),  # of the same aspect: nothing
    ],
)
def test_an_image_of_another_aspect_keeps_its_middle(
    shape: tuple[int, int], size: tuple[int, int], kept: tuple[slice, slice]
) -> None:
    """What is kept is white, the rest black."""
    image = np.zeros((*shape, 3), np.uint8)
    image[kept] = 255
    found = cropped(image, size)
    assert found.shape == (*size, 3)
    assert (found == 255).all()
