"""The network of the shipped embedder: a small residual convolutional network."""

from itertools import pairwise

import torch
from torch import Tensor, nn

WIDTHS = (32, 64, 128, 256)
BLOCKS = 2
DIMENSIONS = 128


def _convolution(inputs: int, outputs: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class Block(nn.Module):
    """Two 3x3 convolutions about a shortcut (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = _convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class TinyNetwork(nn.Module):
    """Images (B, 3, S, S) float32, about -1..1, to vectors (B, DIMENSIONS), not normalised.

    Stages halve the resolution by averaging, which does not alias as striding does, so that a
    small motion moves the vector by little. The vector is made from the means over the image of
    the last two stages: what there is, at two scales, and hardly where.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, WIDTHS[0], 5, 2), nn.ReLU())
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.AvgPool2d(2),
                _convolution(before, width, 1),
                nn.ReLU(),
                *(Block(width) for _ in range(BLOCKS)),
            )
            for before, width in pairwise(WIDTHS)
        )
        pooled = WIDTHS[-1] + WIDTHS[-2]
        self.head = nn.Sequential(
            nn.Linear(pooled, 512, bias=False),
            nn.BatchNorm1d(512),
            nn.ReLU(),
            nn.Linear(512, DIMENSIONS),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        means = []
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean(dim=(2, 3)))
        return self.head(torch.cat(means[-2:], dim=1))
