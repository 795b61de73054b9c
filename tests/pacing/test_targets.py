"""Target pacings: endpoints, direction, values by hand, files, and what is no target."""

import json

import numpy as np
import oracles
import pytest
from clips import refused

import spf
from spf.pacing import TARGETS, distance_to_target, make_target
from spf.pacing.targets import Custom, EaseIn, EaseInOut, EaseOut, Exponential, Linear, Sine, pinned

U = np.linspace(0.0, 1.0, 1001)
POINTS = [[0, 0], [0.5, 0.2], [0.6, 0.2], [1, 1]]
DOWN = {"direction": "down"}


def test_targets_run_from_0_to_1_and_never_fall():
    variants = [
        *(Linear(), EaseIn(), EaseIn(power=3.5), EaseOut(power=1), EaseOut(power=10), EaseInOut()),
        *(Exponential(temperature=x) for x in (0, 3, 100)),
        *(Exponential(**DOWN), Sine(), Custom(points=POINTS)),
    ]
    assert {one.name for one in variants} == set(TARGETS)
    for target in variants:
        for count in (2, 3, 81, 100_000):
            u = np.linspace(0, 1, count)
            values = pinned(target, u)
            assert (values.shape, values.dtype) == ((count,), np.float64)
            assert (values[0], values[-1]) == (0.0, 1.0)
            assert (np.diff(values) >= 0).all()
            np.testing.assert_array_equal(u, np.linspace(0, 1, count))


@pytest.mark.parametrize(("target", "u", "progress"), [
    (Linear(), 0.3, 0.3), (EaseIn(), 0.25, 0.0625), (EaseOut(), 0.25, 0.4375),
    (EaseInOut(), 0.25, 0.125), (EaseInOut(power=3), 0.75, 1 - 0.0625),
    (Exponential(temperature=np.log(4)), 0.5, 1 / 3),
    (Exponential(temperature=np.log(4), **DOWN), 0.5, 2 / 3),
    (Sine(), 0.25, 0.25 + 1 / (2 * np.pi)), (Custom(points=POINTS), 0.25, 0.1),
    (Custom(points=POINTS), 0.8, 0.6),
], ids=str)  # fmt: skip
def test_values_by_hand(target, u, progress):
    assert float(target(np.array([u]))[0]) == pytest.approx(progress, abs=1e-12)


def test_time_reversal():
    up, down = Exponential(temperature=4), Exponential(temperature=4, **DOWN)
    ease = EaseIn(power=3), EaseOut(power=3)
    for forward, backward in (ease, (EaseInOut(),) * 2, (up, down), (Sine(),) * 2):
        np.testing.assert_allclose(1 - backward(1 - U), forward(U), atol=1e-12)


def test_pace_one_clip_like_another():
    positions = np.linspace(0, 1.2, 41)
    one = spf.fit(oracles.great_circle(positions**2), ridge=0.0)
    even = spf.fit(oracles.great_circle(np.linspace(0, 1.2, 81)), ridge=0.0)
    tau = spf.time_map(even, target=one)
    shown = np.interp(tau, np.arange(81), even.progress)
    np.testing.assert_allclose(shown, make_target(one)(np.linspace(0, 1, 81)), atol=1e-9)
    assert tau[40] < 30  # it starts slowly: the middle of the time is not the middle of the change
    assert distance_to_target(one, one) == 0.0
    assert distance_to_target(even, "linear") == pytest.approx(spf.score(even)["linearity_mae"])
    # Uneven time stamps: the share of time counts, not of frames.
    uneven = spf.fit(oracles.great_circle(positions**2), times=positions**2, ridge=0.0)
    np.testing.assert_allclose(make_target(uneven)(U), U, atol=0.02)


def test_files_in_any_unit_of_time(tmp_path):
    rows = "0,0\n5,0.2\n6,0.2\n10,1\n"
    columns = {"times": [0, 5, 6, 10], "progress": [0, 0.2, 0.2, 1]}
    for name, text in (
        ("a.csv", rows), ("bom.csv", f"\ufefftime,progress\n{rows}"),
        ("c.json", json.dumps(POINTS)), ("d.json", json.dumps(columns)),
    ):  # fmt: skip
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        np.testing.assert_allclose(Custom(path=path)(U), Custom(points=POINTS)(U), atol=1e-12)
    assert spf.time_map(spf.fit(oracles.random_walk(40)), target=Custom(path=str(path)))[0] == 0


@pytest.mark.parametrize(("points", "message"), [
    ([[0, 0], [0.5, 0.6], [0.7, 0.4], [1, 1]], "falls at point 3"),
    ([[0, 0], [0.5, 0.6], [0.5, 0.7], [1, 1]], "times must increase"),
    ([[0, 0], [1, 0.9]], "from 0 to 1"), ([], "at least 2 points"),
    ([[0, 0, 0], [1, 1, 1]], "at least 2 points"), ([["a", 0], [1, 1]], "pairs of numbers"),
    ([[0, 0], [float("nan"), 0.5], [1, 1]], "finite"), ("{", "a.json: .*expected"),
    ('{"times": [0, 1]}', "a.json: .*progress"), ("0;0\n1;1\n", "a.csv: .*(two col|points)"),
    ([[0, 0], [0.5, float("inf")], [1, float("inf")]], "finite"),
    ("0,0\n1," + "1" * 200_000, "a.csv: .*two col"),
])  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_points_and_files_that_make_no_target(tmp_path, points, message):
    target = Custom(points=points)
    if isinstance(points, str):
        path = tmp_path / message.partition(":")[0]
        path.write_text(points)
        target = Custom(path=path)
    with refused(message):
        make_target(target)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: make_target(lambda u: 1 - u), "target function"),
    (lambda: make_target(lambda u: np.where(u == 0.5, np.nan, u)), "target function"),
    (lambda: make_target("easein"), "did you mean ease_in"),
    (lambda: make_target(Custom(path="/nowhere/a.csv")), "cannot be read"),
    (lambda: EaseIn(power=0.5), "power"), (lambda: EaseIn(power=float("nan")), "power"),
    (lambda: Exponential(direction="sideways"), "direction"),
    (lambda: make_target(spf.fit(np.ones((12, 2)))), "no semantic change"),
])  # fmt: skip
def test_what_is_no_target_is_refused(make, message):
    with pytest.raises((spf.ConfigError, ValueError), match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert make_target("ease-in-out") == make_target("ease_in_out") == EaseInOut()
