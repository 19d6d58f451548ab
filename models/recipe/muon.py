"""Muon: momentum whose direction is made orthogonal, for the matrices inside a network.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). On this
recipe it needs about a third fewer tokens than AdamW for the same loss. In float32, because
bfloat16 is slow or missing on many CPUs.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

MOMENTUM = 0.95
_ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration; they drive all singular values to about 1."""


class Muon:
    """Updates matrices in place; the learning rate is set by the caller before each step."""

    def __init__(self, matrices: Iterable[Tensor], *, weight_decay: float) -> None:
        self._matrices = list(matrices)
        self._momenta = [torch.zeros_like(matrix) for matrix in self._matrices]
        self._weight_decay = weight_decay
        self.learning_rate = 0.0

    @torch.no_grad()
    def step(self) -> None:
        """Apply the gradients, and drop them."""
        for matrix, momentum in zip(self._matrices, self._momenta, strict=True):
            if matrix.grad is None:
                continue
            momentum.lerp_(matrix.grad, 1 - MOMENTUM)
            direction = orthogonal(matrix.grad.lerp(momentum, MOMENTUM))
            rows, columns = matrix.shape
            matrix.mul_(1 - self.learning_rate * self._weight_decay)
            matrix.add_(direction, alpha=-self.learning_rate * max(1, rows / columns) ** 0.5)
            matrix.grad = None

    def state(self) -> list[Tensor]:
        """What a checkpoint has to keep."""
        return self._momenta

    def load_state(self, momenta: list[Tensor]) -> None:
        """Go on from a checkpoint."""
        for own, kept in zip(self._momenta, momenta, strict=True):
            own.copy_(kept)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors and singular values of about 1."""
    first, second, third = _COEFFICIENTS
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = first * wide + (second * gram + third * gram @ gram) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
