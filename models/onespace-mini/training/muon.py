"""Muon: momentum whose update for a matrix is made orthogonal, so that every
direction of the matrix learns at the same pace (Keller Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/). Matrices of one shape are treated
as one batch, which keeps the extra work small. For everything that is not a
hidden matrix AdamW is used beside it.
"""

import torch

from hardware import BFLOAT16


def orthogonal(x, steps=5):
    """Newton-Schulz iteration: [n, rows, columns] with rows <= columns -> about U V^T of each."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = a * x + torch.bmm(b * gram + c * torch.bmm(gram, gram), x)
    return x


class Muon(torch.optim.Optimizer):
    def __init__(self, matrices, lr=0.02, momentum=0.95, weight_decay=0.0):
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(tuple(p.shape), []).append(p)
            for (rows, columns), same in by_shape.items():
                update = torch.stack([self._momentum(p, group["momentum"]) for p in same])
                tall = rows > columns
                update = update.transpose(1, 2) if tall else update
                update = orthogonal(update.bfloat16() if BFLOAT16 else update).to(same[0].dtype)
                update = update.transpose(1, 2) if tall else update
                rate = group["lr"] * max(1, rows / columns) ** 0.5
                for p, change in zip(same, update):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-rate)

    def _momentum(self, p, momentum):
        """Nesterov momentum of the gradient."""
        buffer = self.state[p].setdefault("buffer", torch.zeros_like(p))
        buffer.lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(buffer, momentum)
