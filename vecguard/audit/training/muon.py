"""The Muon optimiser in float32 (torch.optim.Muon computes in bfloat16, which CPUs emulate, 10 times slower here [m]).

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the scale of an update that
matches AdamW's from Liu et al., "Muon is Scalable for LLM Training" (2025), equation 4.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

# The quintic of the Newton-Schulz iteration: slope at zero as steep as keeps singular values within about [0.7, 1.2].
QUINTIC = (3.4445, -4.7750, 2.0315)
STEPS = 5


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised, for the weight matrices of hidden layers."""

    def __init__(self, matrices: Iterable[Tensor], rate: float, momentum: float = 0.95, decay: float = 0.01) -> None:
        super().__init__(matrices, {"lr": rate, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum"] = torch.zeros_like(matrix)
                momentum = state["momentum"].lerp_(matrix.grad, 1 - group["momentum"])
                update = orthogonalised(matrix.grad.lerp(momentum, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["decay"])
                matrix.add_(update, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)


def orthogonalised(gradient: Tensor) -> Tensor:
    """About `U V'` of the singular value decomposition `U S V'` of a matrix, by Newton-Schulz iteration."""
    a, b, c = QUINTIC
    wide = gradient.shape[0] <= gradient.shape[1]
    result: Tensor = gradient if wide else gradient.T
    result = result / (result.norm() + 1e-7)
    for _ in range(STEPS):
        gram = result @ result.T
        result = a * result + (b * gram + c * gram @ gram) @ result
    return result if wide else result.T
