import functools
import secrets

import clips
import pytest
from clips import encode, grey

from spf import embedders
from spf.pacing import retime as retiming


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPF_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(autouse=True)
def _cache_of_the_test(tmp_path_factory, monkeypatch):
    """No test finds what another one has embedded."""
    folder = tmp_path_factory.getbasetemp() / "caches" / secrets.token_hex(8)
    monkeypatch.setenv("SPF_CACHE_DIR", str(folder))


@pytest.fixture(autouse=True)
def _quick_check(request, monkeypatch):
    """A retimed clip is looked at by a quick control, but where that is what is tested."""
    if request.module.__name__.rpartition(".")[2] == "test_check_embedder":
        return
    chosen = embedders.check_embedder

    def quick(check, embedder):
        control = "pixels" if embedder.name == "histogram" else "histogram"
        return chosen(control if check == "auto" else check, embedder)

    monkeypatch.setattr(retiming, "check_embedder", quick)
    monkeypatch.setattr(embedders, "check_embedder", quick)


@pytest.fixture(scope="module")
def no_plots():
    import harness

    with pytest.MonkeyPatch.context() as patch:
        harness.without_plots(patch)
        yield


@pytest.fixture(scope="session")
def tower_folders(tmp_path_factory):
    import torch
    import towers

    torch.set_num_threads(1)  # small batches on busy machines: two threads wait for each other
    return towers.save_all(tmp_path_factory.mktemp("towers"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    short = {"options": {"bf": "0", "g": "10"}, "container_options": {"movflags": "faststart"}}
    return {
        "mp4": encode(folder / "a.mp4", grey(30)),
        "gif": clips.animate(folder / "a.gif", grey(30), [40] * 30),
        "noise": encode(folder / "noise.mp4", clips.noise(60), **short),
        "late index": encode(folder / "late_index.mp4", clips.noise(60)),
        "plain": encode(folder / "plain.mp4", grey(30), options={"bf": "0"}),
    }


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    import generators

    return generators.save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def adapters(tmp_path_factory):
    """A case of `miniatures` -> the adapter on its saved miniature; each is made at its first use,
    and loaded once."""
    import miniatures

    root = tmp_path_factory.mktemp("pipelines")
    return functools.cache(lambda case: miniatures.saved(case, root))


@pytest.fixture
def wan(adapters):
    return adapters("wan22/i2v")
