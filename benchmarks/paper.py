"""The paper's experiments: the plan of `make reproduce-paper`."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Experiment:
    """An experiment of the paper and how we run it.

    overrides : words for run.py; None where the experiment is not built yet. seconds, megabytes :
    estimates for 2 cores, shown in the plan.
    """

    number: int
    title: str
    overrides: tuple[str, ...] | None = None
    embedder: str = ""
    generator: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    reason: str = field(default="not built yet")


EXPERIMENTS = (
    Experiment(1, "Retiming strategies against baselines on generated clips"),
    Experiment(2, "Real footage: segmented, keyframed, regenerated"),
    Experiment(
        3,
        "Synthetic clips whose pacing is known",
        ("benchmark=synthetic_pacing", "embedder=histogram"),
        "histogram (control)",
        "rendered photographs",
        seconds=40,
        megabytes=5,
    ),
    Experiment(4, "Ablation of embedders"),
    Experiment(5, "VBench fidelity of original against retimed clips"),
    Experiment(6, "User study of pacing"),
    Experiment(7, "Targets other than linear; pacing of different generators"),
)
