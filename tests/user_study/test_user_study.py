import json
import re
from pathlib import Path

import clips as made
import harness
import numpy as np
import pandas as pd
import pytest
import raters
from quoting import unquoted

from benchmarks.harness import session
from benchmarks.user_study.clips import film_of_file
from benchmarks.user_study.experiment import KEY, PAGE, render_study
from benchmarks.user_study.trials import EVEN, JUMP, Study
from spf.errors import ClipError, ConfigError
from spf.video import load


def blind(shown):
    even = shown.trial.check and shown.trial.clips[shown.left] == EVEN
    return "right" if even else "left"


def save_answers(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{content['rater']}.json"
    path.write_text(json.dumps(content, indent=1))
    return path


pytestmark = pytest.mark.usefixtures("no_plots")
SCORES = {"even": 1.2, "jumpy": -1.2}
TABLES = ("preferences", "bradley_terry", "raters", "by_pacing", "sample_size")


def run(clips: Path, output: Path, *more: str) -> session.Run:
    return harness.run(clips, output, "benchmark=user_study", "embedder=histogram", *more)


def table(run: session.Run, name: str) -> pd.DataFrame:
    return pd.read_csv(run.folder.path(f"{name}.csv"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return harness.two_generators(tmp_path_factory.mktemp("study") / "clips", pairs=3)


@pytest.fixture(scope="module")
def asked(clips, tmp_path_factory):
    return run(clips, tmp_path_factory.mktemp("asked"))


@pytest.fixture(scope="module")
def study(asked):
    return Study.from_key(asked.folder.read(KEY))


@pytest.fixture(scope="module")
def answers(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    for number in range(8):
        choose = raters.attentive(SCORES, number)
        save_answers(folder, raters.answers(study, f"r{number}", choose))
    save_answers(folder, raters.answers(study, "s-blind", blind))
    save_answers(folder, raters.answers(study, "t-early", raters.attentive(SCORES, 9), 2))
    return folder


@pytest.fixture(scope="module")
def answered(clips, answers, tmp_path_factory):
    return run(clips, tmp_path_factory.mktemp("answered"), f"benchmark.answers={answers}")


def test_without_answers_there_is_a_page_and_no_result(asked):
    assert asked.code == 0
    assert asked.folder.path(PAGE).is_file()
    rows = table(asked, "preferences")
    assert list(rows["note"]) == ["no answers yet"]
    assert rows["rate"].isna().all()
    page = harness.Page(asked.folder.read("index.html").decode())
    assert {"href": PAGE} in page.all("a")
    assert "No person has rated these clips" in " ".join(page.text)


def test_the_key_names_clips_and_their_pacing(asked, study):
    assert study.strategies == ("even", "jumpy")
    for pair in study.pairs:
        even, jumpy = (study.linearity_mae[study.clip_of(name, pair)] for name in study.strategies)
        assert even < jumpy
        film = load(asked.folder.path(f"study/clips/{study.clip_of('jumpy', pair)}.mp4"))
        assert film.frames.shape == (12, 320, 320, 3)
        small = film.frames.reshape(12, 32, 10, 32, 10, 3).mean(axis=(2, 4))
        assert np.abs(small - np.stack(harness.jumping(seed=int(pair[-1])))).mean() < 8


def test_checks_are_even_and_jump(asked, study):
    places = set()
    for trial in (trial for trial in study.trials if trial.check):
        paths = {n: asked.folder.path(f"study/clips/{clip}.mp4") for clip, n in trial.clips.items()}
        films = {name: load(path).frames.astype(float) for name, path in paths.items()}
        steps = {n: np.abs(np.diff(film, axis=0)).mean(axis=(1, 2, 3)) for n, film in films.items()}
        whole = np.abs(films[EVEN][-1] - films[EVEN][0]).mean()
        assert steps[EVEN].max() < 0.2 * whole
        assert np.sort(steps[JUMP])[-2] < 0.05 * whole
        assert steps[JUMP].max() == pytest.approx(whole, rel=0.1)
        places.add((trial.pair, int(steps[JUMP].argmax())))
    assert len(places) == 6  # no two checks are alike


def test_answers_are_counted(answered, study):
    assert answered.code == 0
    people = table(answered, "raters").set_index("rater")
    assert list(people["counted"]) == ["yes"] * 8 + ["no"] * 2
    assert people.loc["s-blind", "reason"] == "excluded: 0 of 6 attention checks right, 5 needed"
    assert "attention checks right, 5 needed" in people.loc["t-early", "reason"]
    assert list(people["answered"]) == [9] * 9 + [2]
    chosen = []
    for number in range(8):
        choose = raters.attentive(SCORES, number)
        for shown in study.arranged(f"r{number}"):
            clip = getattr(shown, choose(shown))
            chosen += [shown.trial.clips[clip] == "even"] * (not shown.trial.check)
    row = table(answered, "preferences").iloc[0]
    counts = {"first": "even", "second": "jumpy", "choices": 24, "first_chosen": sum(chosen)}
    assert row[[*counts]].to_dict() == counts
    assert row["rate"] == pytest.approx(np.mean(chosen), rel=1e-5)
    assert row["low_95"] < row["rate"] < row["high_95"]
    assert row["raters"] == row["raters_for_first"] + row["raters_for_second"] == 8
    scores = table(answered, "bradley_terry").set_index("strategy")["score"]
    lead = np.log((sum(chosen) + 0.5) / (24 - sum(chosen) + 0.5))
    assert scores["even"] - scores["jumpy"] == pytest.approx(lead, rel=1e-4)
    pacing = table(answered, "by_pacing").iloc[0]
    assert (pacing["choices"], pacing["more_even_chosen"]) == (24, sum(chosen))
    line = answered.summary.sections[0].paragraphs[1]
    assert line.startswith(f"even was chosen before jumpy in {sum(chosen)} of 24 choices (rate ")
    rows = harness.Page((answered.folder.root / "index.html").read_text()).rows
    assert unquoted(line, [row for row in rows if {"even", "jumpy"} <= {*row}]) == []


def test_a_run_repeats_and_the_key_stands_for_the_clips(clips, asked, answered, answers, tmp_path):
    again = run(clips, tmp_path / "again")
    for name in (PAGE, KEY, *(f"{name}.csv" for name in (*TABLES, "records"))):
        assert again.folder.read(name) == asked.folder.read(name), name
    for name in (PAGE, KEY):  # answers change neither
        assert answered.folder.read(name) == asked.folder.read(name)
    more = [f"benchmark.answers={answers}", f"benchmark.key={asked.folder.path(KEY)}"]
    alone = run(tmp_path / "nothing", tmp_path / "alone", *more)
    assert alone.code == 0
    for name in TABLES:
        assert alone.folder.read(f"{name}.csv") == answered.folder.read(f"{name}.csv")
    assert not alone.folder.path(PAGE).exists()


def test_damaged_answers_are_rows_and_stop_nobody(clips, study, tmp_path):
    folder = tmp_path / "answers"
    good = raters.answers(study, "good", raters.attentive(SCORES, 0))
    whole = save_answers(folder, good).read_bytes()
    (folder / "cut.json").write_bytes(whole[: len(whole) // 2])
    (folder / "same again.json").write_bytes(whole)
    (folder / "<b>.json").write_text('{"format": "<script>alert(1)</script>"}')
    (folder / "notes.txt").write_text("not an answer")
    done = run(clips, tmp_path, f"benchmark.answers={folder}")
    assert done.code == 1
    people = table(done, "raters").set_index("file")
    counted = {"<b>.json": "no", "cut.json": "no", "good.json": "yes", "same again.json": "no"}
    assert people["counted"].to_dict() == counted
    assert "cut off" in people.loc["cut.json", "reason"]
    assert "rater good answered in good.json already" in people.loc["same again.json", "reason"]
    text = done.folder.read("index.html").decode()
    assert "<script>alert" not in text
    assert "&lt;b&gt;.json" in text
    for reason in (r["reason"] for r in done.results.records if r["status"] == "failed"):
        assert str(tmp_path) not in harness.check_one_line(reason)


def test_pairs_that_cannot_be_compared_are_left_out(tmp_path):
    wide = [np.hstack([frame, frame]) for frame in harness.steady()]
    made = {"fine": harness.jumping(), "long": harness.steady(30), "wide": wide}
    names = ("fine", "long", "wide", "lone", "odd")
    strategies = {"a": {name: harness.steady() for name in names}, "b": made}
    clips = harness.layout(tmp_path / "clips", strategies)
    (clips / "b" / "odd.mp4").write_bytes(b"no clip")
    done = run(clips, tmp_path / "out")
    assert done.code == 1  # one clip cannot be read
    lost = table(done, "left_out").set_index("pair")["reason"]
    assert sorted(lost.index) == ["lone", "long", "odd", "wide"]
    assert "differ in length (a 0.92 s, b 2.42 s)" in lost["long"]
    assert "differ in shape (a 32x32, b 64x32)" in lost["wide"]
    assert lost["lone"] == lost["odd"] == "no clip of b"
    assert Study.from_key(done.folder.read(KEY)).pairs == ["fine"]


def test_clips_that_a_page_cannot_show_are_refused(tmp_path):
    frames, stamps = harness.steady(6), [0, 1, 2, 9, 10, 11]
    uneven = made.encode(tmp_path / "u.mp4", frames, rate=12, stamps=stamps, options={"bf": "0"})
    one = harness.save(tmp_path / "one.mp4", frames[:1])
    long = harness.save(tmp_path / "long.mp4", harness.steady(70), rate=1)
    (tmp_path / "images").mkdir()
    made.Image.fromarray(frames[0]).save(tmp_path / "images" / "0.png")
    for path, message in {
        uneven: "S/x: its frame rate varies.*ffmpeg", one: "1 frame", long: "longer than 60 s",
        tmp_path / "images": "no rate",
    }.items():  # fmt: skip
        with pytest.raises(ClipError, match=message):
            film_of_file(path, "S/x")


def test_bad_settings_are_one_line(clips, answers, tmp_path):
    (tmp_path / "key.json").write_text("{}")
    named = f"benchmark.answers={answers}"
    harness.touch(tmp_path, "one/a/p.mp4", "two/a/p.mp4", "two/b/q.mp4")
    for folder, options, message in (
        (clips, ["benchmark.checks=-1"], "checks"),
        (clips, ["benchmark.missed=7"], "missed"),
        (clips, ["benchmark.num_pairs=0"], "num_pairs"),
        (clips, ["benchmark.answers=no/such/folder"], "check the path"),
        (clips, ["benchmark.key=key.json"], "name them with answers"),
        (clips, [named, f"benchmark.key={tmp_path / 'key.json'}"], "no file of the format"),
        (clips, [named, f"benchmark.key={tmp_path / 'gone.json'}"], "check the path"),
        (tmp_path / "one", [], "give two"),
        (tmp_path / "two", [], "no pair has a clip of every strategy"),
    ):
        with pytest.raises(ConfigError, match=message) as error:
            run(folder, tmp_path / "out", *options)
        harness.check_one_line(str(error.value))
    assert not (tmp_path / "out").exists()


def test_hostile_prompts_stay_text(study):
    evil = "</script><script>alert(1)</script> <!-- {{ 7 * 7 }} \u2028 'quote\" &amp;"
    films = {clip: b"film" for trial in study.trials for clip in trial.clips}
    text = render_study(study, films, dict.fromkeys(study.pairs, evil))
    assert "alert(1)</script>" not in text
    assert text.count("<script") == text.count("</script>") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert {trial["prompt"] for trial in data["trials"]} == {evil}
