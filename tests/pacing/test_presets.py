"""Presets, schedules and bands of the warp, by hand-made numbers."""

import harness
import numpy as np
import pytest

from benchmarks.generated.strategies import described, parse_retimes
from benchmarks.harness.report.players import AUTHORS
from spf.errors import ConfigError
from spf.pacing.gamma import gamma
from spf.pacing.strategies import PRESETS, Rope, RopeIterative

OMEGA = 10.0 ** -np.arange(7.0)  # the highest frequency first, places 0, 1/6 .. 1


def test_the_presets_are_what_is_known_of_the_authors():
    """Low band 0.77, high band 0.20, three corrections: a public digest of the paper."""
    code, flow = Rope("authors_code"), Rope("authors_workflow")
    assert code == Rope()
    assert code.strength.of(OMEGA)[[0, -1]] == pytest.approx([0.2, 1 - 0.8 * np.exp(-3)])
    assert flow.strength.of(OMEGA)[[0, -1]] == pytest.approx([0.2, 0.770], abs=5e-4)
    assert (code.iterations, flow.iterations, RopeIterative().iterations) == (1, 3, 3)
    assert code.gamma == flow.gamma == "exp_up"
    assert RopeIterative().strength == code.strength
    assert Rope("ours").strength.of(OMEGA).tolist() == [1.0] * 7


@pytest.mark.parametrize(
    ("bands", "alpha"),
    [
        ("flat", [0.8] * 7),
        ("linear", [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
        ("linear_inverse", [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]),
        ("3_bands", [0.2, 0.2, 0.5, 0.5, 0.8, 0.8, 0.8]),
        ("3_bands_inverse", [0.8, 0.8, 0.8, 0.5, 0.5, 0.2, 0.2]),
        ("smooth", [0.2, 0.2 + 0.6 * 2 / 27, 0.2 + 0.6 * 7 / 27, 0.5, None, None, 0.8]),
        ([0.1, 0.9, 0, 0, 0, 0, 0.5], [0.1, 0.9, 0, 0, 0, 0, 0.5]),
    ],
)
def test_bands_by_hand(bands, alpha):
    found = Rope("authors_workflow", bands=bands).strength.of(OMEGA)
    known = [index for index, value in enumerate(alpha) if value is not None]
    assert found[known] == pytest.approx([alpha[index] for index in known])
    backwards = Rope("authors_workflow", bands=bands).strength.of(OMEGA[::-1])
    assert backwards == pytest.approx(found[::-1])  # a strength goes with its frequency


@pytest.mark.parametrize(
    ("name", "levels", "wanted"),
    [
        ("exp-up", 0.5, (np.e**1.5 - 1) / (np.e**3 - 1)),
        ("exp_down", [0.5, 0.0, 1.0], [(np.e**1.5 - 1) / (np.e**3 - 1), 1, 0]),
        ("linear", 0.3, 0.3),
        ("linear_down", 0.3, 0.7),
        ("cosine", 0.25, (1 - np.sqrt(0.5)) / 2),
        ("cosine_down", 0.75, (1 - np.sqrt(0.5)) / 2),
        ("window", [0.49, 0.5, 0.9], [0, 1, 1]),
        ((0.9, 0.4), [1.0, 0.91, 0.9, 0.6, 0.4, 0.39, 0.0], [0, 0, 1, 1, 1, 0, 0]),
        ("none", [0.0, 0.9], [1, 1]),
    ],
)
def test_schedules_by_hand(name, levels, wanted):
    assert gamma(name, np.array(levels)) == pytest.approx(wanted)


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
        ({"bands": [0.1, 0.2]}, r"2 strengths.*7 bands"),
    ],
)
def test_wrong_settings_are_refused_in_a_line(settings, said):
    with pytest.raises(ConfigError, match=said) as error:
        Rope(**settings).strength.of(OMEGA)
    assert "\n" not in str(error.value)


def test_tables_name_the_preset_and_what_differs_from_it():
    listed = Rope("ours", decay=1, gamma=[1.0, 0.3])
    assert listed.gamma == (1.0, 0.3)
    assert described(listed) == "rope (ours, decay=1, gamma=[1 0.3])"
    made = tuple(map(described, (Rope(), Rope("authors_workflow"), RopeIterative())))
    known = "rope (authors_code)", "rope (authors_workflow)", "rope_iterative (authors_code)"
    assert made == AUTHORS == known


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_an_option_and_stands_beside_the_authors_script(name):
    node = harness.compose("retime=rope", f"preset={name}").retime
    chosen = Rope(**{key: value for key, value in node.items() if key != "_target_"})
    assert chosen == Rope(name)
    labels = list(parse_retimes(["none", "rope"], chosen))
    assert labels[:2] == ["none", "rope (authors_code)"]
    assert f"rope ({name})" in labels


def test_a_preset_of_a_strategy_that_has_none_is_refused():
    with pytest.raises(ConfigError, match=r"retime=flow has no preset.*retime=rope"):
        harness.compose("retime=flow", "preset=ours")
