"""User study: a page for blind choices between strategies, and what the answers say."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.generated.experiment import RetimeGenerated
from benchmarks.generated.strategies import Wanted
from benchmarks.harness.cells import Benchmark, Cell, Key, OnProgress, Outcome, Summary
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import Measuring
from benchmarks.harness.records import DONE, Record
from benchmarks.harness.report.page import environment
from benchmarks.leaderboard.cells import clip_cell
from benchmarks.user_study.clips import Film, cached_film, check_films, film_of_file, incomparable
from benchmarks.user_study.tables import QUESTION, summarised
from benchmarks.user_study.trials import ANSWERS_FORMAT, LARGEST, VERSION, AnswersError, Study
from spf.errors import ClipError, ConfigError
from spf.files import read_bounded
from spf.generators.base import Generator
from spf.generators.folder import Folder, FolderClip
from spf.generators.stills import Stills
from spf.identity import digest, file_digest
from spf.names import printable
from spf.numbers import number, optional_number
from spf.pacing.strategies import OURS, Strategy
from spf.pacing.targets import Target

RETIMES = ("none", {"name": "rope", "preset": OURS}, "wrong_map")
ANSWERS = "answers"
"""`retime` and `model` of the rows that are files of answers."""

PAGE, KEY, CLIPS = "study/study.html", "study/key.json", "study/clips"


@dataclass(frozen=True)
class PlannedClip:
    """A clip of the study before it is encoded for the page.

    content : plain data that determine it. prompt : what it was asked to show, for the raters.
    path : its file; None where the cell makes it.
    """

    strategy: str
    pair: str
    prompt: str
    content: Any
    cell: Cell
    path: Path | None = None

    def film(self, outcome: Outcome) -> Film:
        """The page's clip of what the cell gives."""
        if self.path is not None:
            return film_of_file(self.path, f"{self.strategy}/{printable(self.path.name)}")
        name = f"{self.strategy}/{self.pair}"
        return cached_film(outcome.files[outcome.links["file"]], name)


class UserStudy(Benchmark):
    """Which of two clips of a pair changes more evenly? Every two strategies on every pair.

    model : generates the clips of `retimes`, None is `RETIMES` (pairs, stills, target as of
    `RetimeGenerated`), or is a folder, CLIPS/STRATEGY/PAIR.mp4. num_pairs : the first so
    many; None takes all. checks : attention checks among the trials; missed : of them that a rater
    may miss or leave out. answers : a folder of files that raters sent, or a list of files. key :
    the file beside a page; with it the answers are analysed without the clips.

    Raises ConfigError for settings that make no study, UnavailableError where the model cannot run
    here.
    """

    name = "user_study"

    def __init__(
        self,
        measuring: Measuring,
        model: Generator | Folder,
        retime: Strategy | None = None,
        target: str | Target = "linear",
        answers: str | Sequence[str] | None = None,
        key: str | None = None,
        pairs: str | None = None,
        num_pairs: int | None = 6,
        retimes: Sequence[Wanted] | None = None,
        checks: int = 6,
        missed: int = 1,
        stills: Stills | None = None,
    ) -> None:
        optional_number("num_pairs", num_pairs, least=1, whole=True)
        number("checks", checks, least=0, whole=True)
        number("missed", missed, least=0, most=checks, whole=True)
        self.measuring = measuring
        self.missed = missed
        self.files = _files(answers)
        self.volatile = bool(self.files)  # answers may come and go between two runs
        self._generated: RetimeGenerated | None = None
        self._shown: int | None = None
        self._planned: list[PlannedClip] = []
        self._left_out: dict[str, str] = {}
        if key is not None:
            if not self.files:
                raise ConfigError("key is for reading answers; name them with answers=FOLDER")
            try:
                self.study = Study.from_key(read_bounded(Path(key), LARGEST))
            except OSError as error:
                why = f"cannot be read ({error.strerror}); check the path"
                raise ConfigError(f"{key}: {why}") from None
            except AnswersError as error:
                raise ConfigError(f"{key}: {error}") from None
            return
        if isinstance(model, Folder):
            if stills is not None and stills.name != "none":
                remedy = "choose a model, or stills=none"
                raise ConfigError(f"stills={stills.name}: model=folder has its clips; {remedy}")
            self._planned, self._left_out = _of_folder(self.name, measuring, model, num_pairs)
        else:
            self._generated = RetimeGenerated(
                measuring,
                model,
                retime,
                target,
                pairs,
                retimes=RETIMES if retimes is None else retimes,
                stills=stills,
            )
            # The control takes the map of the next pair.
            self._shown = None if num_pairs is None else num_pairs + 1
            self.workers = self._generated.workers
            self._planned = _of_generator(self._generated, num_pairs)
        strategies = list(dict.fromkeys(clip.strategy for clip in self._planned))
        if len(strategies) < 2:
            raise ConfigError(f"a study compares strategies, and there is {strategies}; give two")
        content = [[clip.strategy, clip.pair, clip.content] for clip in self._planned]
        names = list(dict.fromkeys(clip.pair for clip in self._planned))
        self.study = Study.planned(content, strategies, names, checks)

    def store_in(self, folder: RunFolder) -> None:
        """Where generated clips are stored and found again."""
        if self._generated is not None:
            self._generated.store_in(folder)

    def prepare(self) -> None:
        """Make the stills of pairs that are described in words."""
        if self._generated is not None:
            self._generated.prepare(self._shown)

    def plan(self) -> str:
        study = self.study
        stills = "" if self._generated is None else self._generated.planned_stills(self._shown)
        return (
            f"user study of {', '.join(study.strategies)}: {len(study.pairs)} pair(s), "
            f"{len(study.trials)} trials a rater ({study.checks} of them attention checks), "
            f"{len(self.files)} file(s) of answers{stills}"
        )

    def cells(self) -> list[Cell]:
        """The clips, then the answers."""
        return [*map(self._clip_cell, self._planned), *map(self._answers_cell, self.files)]

    def _clip_cell(self, planned: PlannedClip) -> Cell:
        """The clip of the study, and, of the first strategy, the attention checks that are made of
        its ends: the clips of a pair have the same ones."""
        cell, study = planned.cell, self.study
        of_pair = [x for x in study.trials if x.check and x.pair == planned.pair]
        first = planned.strategy == study.strategies[0]
        checks = [dict(trial.clips) for trial in of_pair] if first else []
        clip = study.clip_of(planned.strategy, planned.pair)
        inputs = None if cell.inputs is None else {**cell.inputs, "page": [clip, checks]}

        def compute(on_progress: OnProgress) -> Outcome:
            outcome = cell.compute(on_progress)
            film = planned.film(outcome)
            clips = {clip: film.data}
            for index, ids in enumerate(checks):
                if (made := check_films(film, index)) is not None:
                    clips |= {identity: made[name] for identity, name in ids.items()}
            outcome.files |= {f"{CLIPS}/{name}.mp4": data for name, data in clips.items()}
            outcome.values |= {"strategy": planned.strategy, "page_clips": " ".join(clips)}
            return outcome

        return Cell(replace(cell.key, benchmark=self.name), inputs, compute, cell.not_run)

    def _answers_cell(self, path: Path) -> Cell:
        name = printable(path.name)
        embedder = self.measuring.embedder
        key = Key(self.name, name, embedder.name, ANSWERS, retime=ANSWERS, control=embedder.control)
        try:
            content = file_digest(path)
        except OSError:
            content = None
        trials = digest([trial.id for trial in self.study.trials])
        inputs = {"answers": content, "study": [self.study.id, trials]}

        def compute(on_progress: OnProgress) -> Outcome:
            try:
                data = read_bounded(path, LARGEST)
                if file_digest(path) != content:
                    raise ClipError(name, "it changed while it was read", "start again")
                rater, choices = self.study.read(data)
            except OSError as error:
                why = f"it cannot be read ({error.strerror})"
                raise ClipError(name, why, "check the path") from None
            except AnswersError as error:
                raise AnswersError(f"{name}: {error}") from None
            values = {"rater": rater, "answered": len(choices)}
            return Outcome({**values, "answers": data.decode(), "source": name})

        return Cell(key, None if content is None else inputs, compute)

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        answers = [record for record in records if record["retime"] == ANSWERS]
        study, left_out, page = self.study, dict(self._left_out), ""
        if self._planned:
            clips = [record for record in records if record["retime"] != ANSWERS]
            study, incomplete = _available(self.study, self._planned, clips)
            left_out |= incomplete
        if self._planned and study.pairs:
            page, shown = PAGE, {clip for trial in study.trials for clip in trial.clips}
            films = {clip: folder.read(f"{CLIPS}/{clip}.mp4") for clip in shown}
            prompts = {clip.pair: clip.prompt for clip in self._planned}
            folder.write(PAGE, render_study(study, films, prompts))
            folder.write(KEY, study.key())
        return summarised(study, answers, left_out, self.missed, page)


def render_study(study: Study, films: Mapping[str, bytes], prompts: Mapping[str, str]) -> str:
    """HTML that works without a server and sends nothing. It holds ids: the key says what they are.

    films : MP4 of each clip by its id. prompts : what the clips of a pair are to show, by the pair;
    "" or absent where there is none.
    """
    clips = sorted({clip for trial in study.trials for clip in trial.clips})
    trials = [
        {"id": trial.id, "clips": list(trial.clips), "prompt": prompts.get(trial.pair, "")}
        for trial in study.trials
    ]
    data: dict[str, Any] = {"format": ANSWERS_FORMAT, "version": VERSION, "study": study.id}
    data["trials"] = trials
    data["clips"] = {clip: base64.b64encode(films[clip]).decode() for clip in clips}
    template = environment().get_template("study.html.j2")
    return template.render(question=QUESTION, data=data, trials=len(trials))


def _available(
    study: Study, planned: list[PlannedClip], records: list[Record]
) -> tuple[Study, dict[str, str]]:
    """The trials whose clips are there and can be shown beside each other; and the pairs that have
    none, each with the reason."""
    by_pair: dict[str, dict[str, Record]] = {}
    for clip, record in zip(planned, records, strict=True):
        by_pair.setdefault(clip.pair, {})[clip.strategy] = record
    there: set[str] = set()
    linearity: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for pair, made in by_pair.items():
        missing = [name for name, record in made.items() if record["status"] != DONE]
        reason = f"no clip of {', '.join(missing)}" if missing else incomparable(made)
        if reason:
            left_out[pair] = reason
            continue
        for name, record in made.items():
            there.update(record["page_clips"].split())
            value = record["linearity_mae"]
            if value is not None and value == value:  # not NaN
                linearity[study.clip_of(name, pair)] = float(value)
    return replace(study.of_clips(there), linearity_mae=linearity), left_out


def _of_folder(
    benchmark: str, measuring: Measuring, model: Folder, num_pairs: int | None
) -> tuple[list[PlannedClip], dict[str, str]]:
    """The clips of the pairs that every strategy has, and the other pairs with the reason."""
    by_strategy: dict[str, dict[str, FolderClip]] = {}
    for clip in model.clips():
        by_strategy.setdefault(clip.generator, {})[clip.pair] = clip
    left_out, common = {}, []
    for pair in sorted({pair for clips in by_strategy.values() for pair in clips if pair}):
        if missing := [name for name, clips in by_strategy.items() if pair not in clips]:
            left_out[pair] = f"no clip of {', '.join(missing)}"
        else:
            common.append(pair)
    if not common:
        raise ConfigError(
            f"{model.path}: no pair has a clip of every strategy; expected CLIPS/STRATEGY/PAIR.mp4 "
            "with the same names in each folder"
        )

    planned = []
    for clip in (clips[pair] for clips in by_strategy.values() for pair in common[:num_pairs]):
        cell = clip_cell(benchmark, measuring, clip)
        content = None if cell.inputs is None else cell.inputs["clip"]
        planned.append(PlannedClip(clip.generator, clip.pair, "", content, cell, clip.path))
    return planned, left_out


def _of_generator(generated: RetimeGenerated, num_pairs: int | None) -> list[PlannedClip]:
    """The clips of the first pairs under each strategy, as the embedder steers them."""
    prompts = {pair.name: pair.prompt for pair in generated.pairs[:num_pairs]}
    embedder = generated.measuring.embedder.name

    cells = [cell for cell in generated.cells() if cell.key.embedder == embedder]
    return [
        PlannedClip(cell.key.retime, cell.key.clip, prompts[cell.key.clip], cell.inputs, cell)
        for cell in cells
        if cell.key.clip in prompts
    ]


def _files(answers: Any) -> list[Path]:
    """The files of answers, by name. Raises ConfigError for a path that is not there."""
    if answers is None:
        return []
    paths = [answers] if isinstance(answers, str) else answers
    if not isinstance(paths, Sequence) or not all(isinstance(one, str) and one for one in paths):
        raise ConfigError(f"answers={answers!r} must be a folder, a file, or a list of them")
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += [file for file in path.iterdir() if file.suffix.lower() == ".json"]
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError(f"{path}: there are no answers here; check the path")
    return sorted(dict.fromkeys(found), key=lambda path: (path.name, str(path)))
