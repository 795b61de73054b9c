"""How close end frames are to those a clip was generated from: by scikit-image, and by hand."""

from math import log10, nan

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

import spf
from spf.embedders import load_embedder
from spf.quality import Conditions
from spf.quality.fidelity import FIDELITY, MAXIMAL_PSNR, cropped, end_fidelity, psnr


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_psnr_is_scikit_images_up_to_what_rounding_allows():
    made, asked = picture(0), picture(1)
    assert psnr(made, asked) == pytest.approx(peak_signal_noise_ratio(asked, made, data_range=255))
    assert psnr(made ^ 1, made) == pytest.approx(20 * log10(255))  # one grey level: MSE 1
    assert psnr(made, made) == MAXIMAL_PSNR == pytest.approx(58.92, abs=0.01)
    single = made.copy()
    single[0, 0, 0] ^= 1  # below what rounding makes: as good as identical
    assert psnr(single, made) == MAXIMAL_PSNR
    assert psnr(np.zeros_like(made), np.full_like(made, 255)) == FIDELITY["first_psnr"].minimum


def test_ends_are_compared_with_their_own():
    """Four frames that all differ, so that swapped ones would show."""
    first, last, start, end = map(picture, range(4))
    histogram = load_embedder("histogram")
    found = end_fidelity(first, last, Conditions(start, end), histogram)
    a, b, c, d = spf.embed(np.stack([first, start, last, end]), "histogram").astype(np.float64)
    assert found == pytest.approx(
        {
            "first_psnr": peak_signal_noise_ratio(start, first, data_range=255),
            "last_psnr": peak_signal_noise_ratio(end, last, data_range=255),
            "first_angle": np.arccos(a @ b),
            "last_angle": np.arccos(c @ d),
        },
        abs=1e-6,
    )
    alone = {"first_psnr": MAXIMAL_PSNR, "last_psnr": nan, "first_angle": 0.0, "last_angle": nan}
    for asked, expected in ((first, alone), (None, dict.fromkeys(FIDELITY, nan))):
        found = end_fidelity(first, last, Conditions(asked), histogram)
        assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("shape", "size", "white"), [
    ((20, 60), (10, 10), np.s_[:, 20:40]),  # wider: its sides are cut
    ((60, 20), (10, 10), np.s_[20:40]),  # higher: top and bottom
    ((20, 40), (10, 20), np.s_[:]),  # of the same aspect: nothing
])  # fmt: skip
def test_an_image_of_another_aspect_is_cut_to_its_middle(shape, size, white):
    image = np.zeros((*shape, 3), np.uint8)
    image[white] = 255
    assert (cropped(image, size) == np.full((*size, 3), 255)).all()
