"""Presets, schedules and bands of the warp, by hand-made numbers."""

import harness
import numpy as np
import pytest

from benchmarks.generated.strategies import described, parse_retimes
from benchmarks.harness.report.players import AUTHORS
from spf.errors import ConfigError
from spf.pacing.bands import SHAPES, Strength
from spf.pacing.gamma import check_gamma, gamma
from spf.pacing.strategies import PRESETS, NoRetime, Rope, RopeIterative

OMEGA = 10.0 ** -np.arange(7.0)  # the highest frequency first, places 0, 1/6 .. 1


def test_the_presets_are_what_is_known_of_the_authors():
    """Low band 0.77, high band 0.20, three corrections: a public digest of the paper."""
    code, flow = Rope("authors_code"), Rope("authors_workflow")
    assert code == Rope()
    assert code.strength.of(OMEGA)[[0, -1]] == pytest.approx([0.2, 1 - 0.8 * np.exp(-3)])
    assert flow.strength.of(OMEGA)[[0, -1]] == pytest.approx([0.2, 0.770], abs=5e-4)
    assert (code.iterations, flow.iterations) == (1, 3)
    assert code.gamma == flow.gamma == "exp_up"
    assert RopeIterative().iterations == 3
    assert RopeIterative().strength == code.strength
    assert Rope("ours").strength.of(OMEGA).tolist() == [1.0] * 7


@pytest.mark.parametrize(
    ("bands", "alpha"),
    [
        ("flat", [0.8] * 7),
        ("linear", [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
        ("linear_inverse", [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]),
        ("3_bands", [0.2, 0.2, 0.5, 0.5, 0.8, 0.8, 0.8]),
        ("smooth", [0.2, 0.2 + 0.6 * 2 / 27, 0.2 + 0.6 * 7 / 27, 0.5, None, None, 0.8]),
        ([0.1, 0.9, 0, 0, 0, 0, 0.5], [0.1, 0.9, 0, 0, 0, 0, 0.5]),
    ],
)  # fmt: skip
def test_bands_by_hand(bands, alpha):
    found = Rope("authors_workflow", bands=bands).strength.of(OMEGA)
    known = [index for index, value in enumerate(alpha) if value is not None]
    assert found[known] == pytest.approx([alpha[index] for index in known])
    backwards = Rope("authors_workflow", bands=bands).strength.of(OMEGA[::-1])
    assert backwards == pytest.approx(found[::-1])  # a strength goes with its frequency


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "flat"])
def test_inverses_mirror_the_bands(name):
    mirror = name.removesuffix("_inverse") if name.endswith("_inverse") else f"{name}_inverse"
    alpha = Strength(bands=name).of(OMEGA)
    if "3_bands" not in name:  # whose thirds share their ends
        assert alpha == pytest.approx(Strength(bands=mirror).of(OMEGA)[::-1])
    assert alpha.min() >= 0.2 - 1e-12
    assert alpha.max() <= 1.0 + 1e-12


@pytest.mark.parametrize("name", ["linear", "cosine", "exp"])
def test_schedules_that_go_down_mirror_those_that_go_up(name):
    levels = np.linspace(0, 1, 101)
    up = "exp_up" if name == "exp" else name
    assert gamma(f"{name}_down", levels) == pytest.approx(gamma(up, 1 - levels))
    assert gamma(f"{name}_down", np.array([0.0, 1.0])).tolist() == [1.0, 0.0]


def test_a_window_has_a_start_and_an_end():
    window = check_gamma([0.9, 0.4])
    levels = np.array([1.0, 0.91, 0.9, 0.6, 0.4, 0.39, 0.0])
    assert gamma(window, levels).tolist() == [0, 0, 1, 1, 1, 0, 0]
    assert Rope(gamma=[0.9, 0.4]).gamma == (0.9, 0.4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": "authors"}, "did you mean"),
        ({"gamma": [0.4, 0.9]}, "START > END"),
        ({"gamma": [1.0]}, "START, END"),
        ({"gamma": "exp"}, "exp_up"),
        ({"bands": "cubic"}, "smooth"),
        ({"bands": [0.1, -1.0]}, "at least 0"),
        ({"bands": []}, "neither a name nor a list"),
    ],
)
def test_wrong_settings_are_refused_in_a_line(settings, said):
    with pytest.raises(ConfigError, match=said) as error:
        Rope(**settings)
    assert "\n" not in str(error.value)


def test_a_list_of_strengths_must_fit_the_clock():
    with pytest.raises(ConfigError, match=r"2 strengths.*7 bands"):
        Rope(bands=[0.1, 0.2]).strength.of(OMEGA)


def test_tables_name_the_preset_and_what_differs_from_it():
    assert described(Rope()) == "rope (authors_code)"
    assert described(Rope("authors_workflow")) == "rope (authors_workflow)"
    assert described(Rope("ours", decay=1, gamma=(1.0, 0.3))) == (
        "rope (ours, decay=1, gamma=[1 0.3])"
    )
    assert described(RopeIterative()) == "rope_iterative (authors_code)"
    assert tuple(map(described, (Rope(), Rope("authors_workflow"), RopeIterative()))) == AUTHORS


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_an_option_and_stands_beside_the_authors_script(name):
    node = harness.compose("retime=rope", f"preset={name}").retime
    chosen = Rope(**{key: value for key, value in node.items() if key != "_target_"})
    assert chosen == Rope(name)
    labels = list(parse_retimes(["none", "rope"], chosen))
    assert labels[:2] == ["none", "rope (authors_code)"]
    assert f"rope ({name})" in labels
    assert parse_retimes(["none"], NoRetime())


@pytest.mark.parametrize("retime", ["none", "flow", "rope_flat"])
def test_a_preset_of_a_strategy_that_has_none_is_refused(retime):
    with pytest.raises(ConfigError, match=rf"retime={retime} has no preset.*retime=rope"):
        harness.compose(f"retime={retime}", "preset=ours")
