"""A small corpus, and its rows."""

import clips
import harness
import pyarrow.parquet as pq

import spf
from spf.cluster import Pool
from spf.corpus.inputs import list_clips
from spf.corpus.rows import Measurer
from spf.corpus.run import make_corpus


def build(root):
    """Good and bad clips of all kinds: 17 are measured, 5 fail."""
    good = harness.save(root / "a" / "steady.mp4", harness.steady(14))
    harness.save(root / "a" / "jumping.mp4", harness.jumping(12, seed=1))
    harness.save(root / "a" / "still.mp4", harness.still(12))
    spf.video.write_png(root / "b" / "images", harness.steady(6, seed=3))
    clips.animate(root / "b" / "moving.gif", harness.steady(9, seed=2), [80] * 9)
    for number in range(12):
        harness.save(root / "d" / f"{number}.mp4", harness.steady(4 + number * 7 % 11, seed=number))
    harness.save(root / "c" / "one.mp4", harness.steady(2)[:1])
    (root / "c" / "empty.mp4").touch()
    (root / "c" / "junk.mp4").write_bytes(b"junk " * 99)
    clips.cut(good, root / "c" / "short.mp4", 0.3)
    (root / "c" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    return root


def make(source, output, workers=1, per_shard=5, **settings):
    """All rows in the order of the shards, and the number of clips that were measured now."""
    output.mkdir(exist_ok=True)
    base, names = list_clips(source)
    measurer = Measurer(**({"embedder": "pixels", "curves": True} | settings))
    counts = []
    make_corpus(names, base, output, measurer, Pool(workers), per_shard, on_progress=counts.append)
    return rows_of(output), sum(counts)


def rows_of(output):
    return [x for path in sorted(output.glob("shard-*")) for x in pq.read_table(path).to_pylist()]


def contents(output):
    return {path.name: path.read_bytes() for path in output.iterdir() if path.name[0] != "."}
