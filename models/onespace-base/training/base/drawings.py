"""What onespace-mini learnt from (pictograms, animations, motions, composed scenes, dictionary), asked of this model: its
batches are grids of 16-pixel patches, which are put together again and enlarged twice, so that a patch becomes a cell."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from inputs import batches as mini
from inputs.drawings import Collection
from train import compute_loss  # noqa: F401

from base.model import places

GRIDS = {(7, 7): 5, (4, 4): 3, (6, 8): 0.7, (8, 6): 0.7}
mini.EARLY_GRIDS = mini.LATE_GRIDS = GRIDS
mini.CLIP_GRIDS = {(4, 4): 1}
_pick = mini.pick


def pick(weights, rng):
    """Composed scenes, whose grids are their own, come in two sizes."""
    return rng.choice([(4, 4), (7, 7)]) if (4, 6) in weights else _pick(weights, rng)


mini.pick = pick
mini.drop_patches = lambda patches, place, count: (patches, place)  # cells are neighbours: none can be left out


class Drawn(mini.Batches):
    """Its batches, with tokens of this model's vocabulary."""

    def tokens(self, texts):
        return padded([e.ids[:40] for e in self.tokenizer.encode_batch(texts)], mini.DEVICE)


def padded(rows, device):
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, encoded in zip(ids, rows):
        row[: len(encoded)] = torch.tensor(encoded)
    return ids.to(device)


def frames_of(patches, positions):
    """bytes [n, frames * rows * columns, 768], (t, y, x) of each [L, 3] or [n, L, 3]
    -> frames [n * frames, 3, 32 rows, 32 columns], and the places of their cells and sums [n, L', 3]"""
    one = positions if positions.ndim == 2 else positions[0]
    rows, columns = (len(one[:, k].unique()) for k in (1, 2))
    n, cells = len(patches), rows * columns
    count = patches.shape[1] // cells
    x = patches.reshape(n * count, rows, columns, 16, 16, 3).permute(0, 5, 1, 3, 2, 4).reshape(n * count, 3, rows * 16, columns * 16).float()
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    times = (positions if positions.ndim == 3 else positions.unsqueeze(0)).expand(n, -1, -1)[:, ::cells, 0]  # [n, frames]
    grid = places(rows, columns, [0.0], patches.device)
    where = grid.repeat(count, 1).unsqueeze(0).repeat(n, 1, 1)
    where[..., 0] = times.repeat_interleave(len(grid), 1)
    return x, where


class AsMini(nn.Module):
    """The model under the interface that onespace-mini's losses call."""

    def __init__(self, model, log_scale):
        super().__init__()
        self.model, self.log_scale = model, log_scale

    def text(self, ids):
        return self.model.text(ids)

    def _cells(self, patches, positions):
        frames, where = frames_of(patches, positions)
        return self.model.stem(frames).reshape(len(patches), where.shape[1], -1), where

    def pixels(self, patches, positions, mask=None):
        return self.model.cells(*self._cells(patches, positions))

    def forward(self, ids, text_mask, patches, positions, _):
        cells, where = self._cells(patches, positions)
        return self.model(ids, text_mask, cells, where, torch.ones(cells.shape[:2], device=cells.device))


def collection():
    return Collection()
