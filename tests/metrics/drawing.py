"""Masks small enough to count by eye."""

import torch
from torch import Tensor


def draw(*rows: str) -> Tensor:
    return torch.tensor([[pixel == "#" for pixel in row] for row in rows])


TARGET = draw(
    "##..",
    "##..",
    "....",
)
SHIFTED_RIGHT = draw(
    ".##.",
    ".##.",
    "....",
)
SILENT = torch.zeros_like(TARGET)
