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


FLAT = "benchmark.retimes=[none,{word:rope_flat,iterations:3,correction:compose}]"
"""The strategy that follows a target best with the shipped generator."""

EXPERIMENTS = (
    Experiment(
        1,
        "Retiming strategies against baselines on generated clips",
        (("benchmark=retime_generated", "embedder=tiny"),),
        "tiny (shipped), oracle (renderer)",
        "tiny (shipped)",
        seconds=300,
        megabytes=40,
    ),
    Experiment(2, "Real footage: segmented, keyframed, regenerated"),
    Experiment(
        3,
        "Synthetic clips whose pacing is known",
        (
            ("benchmark=synthetic_pacing", "embedder=tiny"),
            ("benchmark=synthetic_pacing", "embedder=pixels", "benchmark.studies=[leakage,ladder]"),
        ),
        "tiny (shipped), pixels (control)",
        "rendered scenes and photographs",
        seconds=240,
        megabytes=20,
    ),
    Experiment(
        4,
        "Ablation of embedders",
        (("benchmark=embedder_ablation",),),
        "tiny (shipped), pixels and histogram (controls); SigLIP, CLIP, DINOv2 with weights",
        "rendered scenes and photographs",
        seconds=150,
        megabytes=20,
    ),
    Experiment(5, "VBench fidelity of original against retimed clips"),
    Experiment(6, "User study of pacing"),
    Experiment(
        7,
        "Targets other than linear; pacing of different generators",
        tuple(
            ("benchmark=retime_generated", "embedder=tiny", f"target={target}", FLAT)
            for target in ("ease_in_out", "sine")
        ),
        "tiny (shipped), oracle (renderer)",
        "tiny (shipped)",
        seconds=300,
        megabytes=40,
    ),
)
