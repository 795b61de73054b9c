"""The page of a user study: one HTML file that works without a server and sends nothing."""

import base64
from collections.abc import Mapping
from typing import Any

from benchmarks.harness.report.page import environment
from benchmarks.user_study.tables import QUESTION
from benchmarks.user_study.trials import ANSWERS_FORMAT, VERSION, Study


def render_study(study: Study, films: Mapping[str, bytes], prompts: Mapping[str, str]) -> str:
    """HTML with the clips in it. It holds ids, no names: the key says what they are.

    films : MP4 of each clip by its id. prompts : what the clips of a pair are to show, by the pair;
    "" or absent where there is none.
    """
    clips = sorted({clip for trial in study.trials for clip in trial.clips})
    data: dict[str, Any] = {"format": ANSWERS_FORMAT, "version": VERSION, "study": study.id}
    trials = [
        {"id": trial.id, "clips": list(trial.clips), "prompt": prompts.get(trial.pair, "")}
        for trial in study.trials
    ]
    encoded = {clip: base64.b64encode(films[clip]).decode() for clip in clips}
    data |= {"trials": trials, "clips": encoded}
    template = environment().get_template("study.html.j2")
    return template.render(question=QUESTION, data=data, trials=len(study.trials))
