"""The paper's experiments: the plan of `make reproduce-paper`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """An experiment of the paper and how we run it.

    runs : the words for run.py, a tuple for each run; none where the experiment is not built yet.
    embedder, generator, seconds, megabytes : what the plan shows; estimates for 2 cores.
    """

    number: int
    title: str
    runs: tuple[tuple[str, ...], ...] = ()
    embedder: str = ""
    generator: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    reason: str = "not built yet"


EXPERIMENTS = (
    Experiment(1, "Retiming strategies against baselines on generated clips"),
    Experiment(2, "Real footage: segmented, keyframed, regenerated"),
    Experiment(
        3,
        "Synthetic clips whose pacing is known",
        (
            ("benchmark=synthetic_pacing", "embedder=histogram"),
            ("benchmark=synthetic_pacing", "embedder=pixels", "benchmark.studies=[leakage,ladder]"),
        ),
        "histogram (control), pixels (control)",
        "rendered scenes and photographs",
        seconds=200,
        megabytes=20,
    ),
    Experiment(4, "Ablation of embedders"),
    Experiment(5, "VBench fidelity of original against retimed clips"),
    Experiment(6, "User study of pacing"),
    Experiment(7, "Targets other than linear; pacing of different generators"),
)
