"""The bytes of all tensors that are alive at once while a model runs, also on torch's device meta,
where real architectures run at full size without data."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class _Alive(TorchDispatchMode):
    def __init__(self, apart):
        super().__init__()
        self.now = self.peak = 0
        self.seen = {tensor.untyped_storage()._cdata for tensor in apart}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.seen:
                    self.seen.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return made

    def _gone(self, key, size):
        self.seen.discard(key)
        self.now -= size


def peak(model, run):
    """Bytes of activations at the worst moment of `run`; the model's weights are not counted, nor
    what exists before."""
    with torch.no_grad(), _Alive([*model.parameters(), *model.buffers()]) as alive:
        run()
    return alive.peak
