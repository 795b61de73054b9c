"""The paper's experiments: the plan of `make reproduce-paper`, and what the paper says of each."""

from collections.abc import Mapping
from dataclasses import dataclass

Words = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One run of an experiment.

    words : for run.py. embedder, generator : what the plan shows. needs : words whose weights and
    hardware must be here, or the part is not run; none for what ships. wants : words without which
    rows are missing; only the profile full insists on them. embedded : further words for the
    profile embedded. seconds, megabytes : of time and results, estimates for 2 cores. gpu_hours :
    on one large GPU, where the part needs one.
    """

    words: Words
    embedder: str
    generator: str
    needs: Words = ()
    wants: Words = ()
    embedded: Words = ()
    seconds: float = 0.0
    megabytes: float = 0.0
    gpu_hours: float = 0.0


@dataclass(frozen=True)
class Experiment:
    """An experiment of the paper and how we run it.

    parts : its runs; none where it is not built yet. reason : why it has none. claim : what the
    paper reports of it.
    """

    number: int
    title: str
    claim: str
    parts: tuple[Part, ...] = ()
    reason: str = "not built yet"


CITATION = (
    "Metzer, Polaczek, Mahdavi-Amiri, Giryes, Cohen-Or: Video Analysis and Generation via a "
    "Semantic Progress Function, SIGGRAPH 2026, arXiv:2604.22554"
)

ADDRESS = "https://arxiv.org/abs/2604.22554"

REPORTED: Mapping[str, Mapping[str, str]] = {
    "retiming": {
        "none": "plain generation: uneven",
        "nearest": "a baseline",
        "blend": "ghosts",
        "flow": "limited by the interpolator",
        "rope (authors_code)": "the paper's warp: more even",
        "rope (authors_workflow)": "the paper's warp: more even",
        "rope_iterative (authors_code)": "the paper's warp with refinement",
    },
    "ablation": {"siglip": "best of the embedders compared"},
}
"""Table -> a row's first column, or its first word -> what the paper reports of it: no figure is
known to us, and rows that are not here stay blank. Its warp has the authors' settings alone."""

MINUTES = {"wan22": 6.0, "ltx2": 2.0}
"""Minutes for one clip on one GPU of 80 GB: assumed, never measured."""

CLIP_MEGABYTES = 60.0
"""A clip of a large model, kept losslessly."""

ATTEMPTS = 13
"""Clips that the default strategies generate of one pair at most, refinements included."""

PHOTOGRAPHS = 12
"""Pairs of photographs that a large model is run on."""

BESIDE = "benchmark.retimes=[none,rope,{word:rope,preset:authors_workflow},{word:rope,preset:ours}]"
"""The paper's own method with both sets of the authors' settings, and what follows a target best
with the shipped generator."""

VBENCH = "quality=vbench"
TINY = "tiny (shipped), oracle (renderer)"
RENDERED = "rendered scenes and photographs"


def generated(model: str, *more: str, attempts: int = ATTEMPTS, wants: Words = ()) -> Part:
    """Experiments 1 and 7 as the paper has them: a large model, measured with SigLIP."""
    clips = PHOTOGRAPHS * attempts
    return Part(
        ("benchmark=retime_generated", "embedder=siglip", f"model={model}", *more),
        "siglip",
        model,
        needs=("embedder=siglip", f"model={model}"),
        wants=wants,
        megabytes=clips * CLIP_MEGABYTES,
        gpu_hours=clips * MINUTES[model] / 60,
    )


def steered(model: str, target: str) -> Part:
    """Experiment 7 for one generator and target."""
    words = (f"target={target}", BESIDE)
    if model != "tiny":
        return generated(model, *words, attempts=8)
    shipped = ("benchmark=retime_generated", "embedder=tiny", *words)
    return Part(shipped, TINY, "tiny (shipped)", seconds=75, megabytes=20)


EXPERIMENTS = (
    Experiment(
        1,
        "Retiming strategies against baselines on generated clips",
        "Warped clips are paced more evenly than plain generation, interpolation (limited by the "
        "interpolator) and blending (which ghosts); refinement helps.",
        (
            Part(
                ("benchmark=retime_generated", "embedder=tiny"),
                TINY,
                "tiny (shipped)",
                seconds=200,
                megabytes=40,
            ),
            generated("wan22"),
            generated("ltx2"),
        ),
    ),
    Experiment(
        2,
        "Existing clips: segmented, keyframed, regenerated",
        "Existing clips can be paced anew through their segments' keyframes.",
        (
            Part(
                ("benchmark=retime_existing", "embedder=tiny"),
                "tiny (shipped)",
                "rendered, no real footage; tiny (shipped) where they are regenerated",
                seconds=35,
                megabytes=5,
            ),
        ),
    ),
    Experiment(
        3,
        "Synthetic clips whose pacing is known",
        "The progress function follows the known pacing, independent of pixel motion.",
        (
            Part(
                ("benchmark=synthetic_pacing", "embedder=tiny"),
                "tiny (shipped)",
                RENDERED,
                seconds=91,
                megabytes=17,
            ),
            Part(
                (
                    "benchmark=synthetic_pacing",
                    "embedder=pixels",
                    "benchmark.studies=[leakage,ladder]",
                ),
                "pixels (control)",
                RENDERED,
                seconds=30,
                megabytes=6,
            ),
            Part(
                ("benchmark=synthetic_pacing", "embedder=siglip"),
                "siglip",
                RENDERED,
                needs=("embedder=siglip",),
                megabytes=15,
                gpu_hours=0.3,
            ),
        ),
    ),
    Experiment(
        4,
        "Ablation of embedders",
        "SigLIP is best, against CLIP, DINOv2 and others.",
        (
            Part(
                ("benchmark=embedder_ablation", "benchmark.studies=[grid,leakage,robustness]"),
                "tiny (shipped), pixels and histogram (controls); more outside embedded",
                RENDERED,
                wants=("embedder=siglip", "embedder=clip", "embedder=dinov2"),
                embedded=("benchmark.embedders=[tiny,pixels,histogram]",),
                seconds=20,
                megabytes=10,
            ),
            Part(
                ("benchmark=embedder_ablation", "benchmark.studies=[colour]"),
                "EfficientNet (ImageNet), tiny (shipped), pixels and histogram (controls); SigLIP, "
                "CLIP, DINOv2 with weights",
                "photographs in their own and in matched colours",
                wants=("embedder=siglip", "embedder=clip", "embedder=dinov2"),
                embedded=("benchmark.embedders=[efficientnet,tiny,pixels,histogram]",),
                seconds=97,
                megabytes=10,
            ),
        ),
    ),
    Experiment(
        5,
        "VBench fidelity of original against retimed clips",
        "Aesthetic, motion and temporal dimensions are nearly unchanged by retiming.",
        (
            Part(
                (
                    "benchmark=retime_generated",
                    "embedder=tiny",
                    VBENCH,
                    "benchmark.num_pairs=6",
                    BESIDE,
                ),
                TINY,
                "tiny (shipped)",
                wants=(VBENCH,),
                seconds=55,
                megabytes=10,
            ),
            *(generated(model, VBENCH, BESIDE, attempts=8, wants=(VBENCH,)) for model in MINUTES),
        ),
    ),
    Experiment(
        6,
        "User study of pacing",
        "People prefer the pacing of the retimed clips.",
        (
            Part(
                ("benchmark=user_study", "embedder=tiny"),
                "tiny (shipped)",
                "tiny (shipped); no answers are simulated",
                seconds=40,
                megabytes=10,
            ),
        ),
    ),
    Experiment(
        7,
        "Targets other than linear; pacing of different generators",
        "Clips can be steered to other targets; generators differ in their pacing.",
        tuple(
            steered(model, target)
            for model in ("tiny", *MINUTES)
            for target in ("ease_in_out", "sine")
        ),
    ),
)
