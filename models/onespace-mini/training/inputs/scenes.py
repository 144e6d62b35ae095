"""Composed scenes: two coloured drawings side by side, "a red car above a blue fish".

A scene and its mirror (the two things exchanged) are rendered together: words
and colours are the same, only the arrangement differs.
"""

import torch

from inputs.captions import COLOURS, RELATIONS
from inputs.pictures import PATCH, backgrounds, over, patchify, place, premultiplied, tint, uniform

# centre of the first thing for each relation (left of, right of, above, below)
DIRECTION = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])


def colour_rows(names, device):
    """Colour names -> [n, 3] in 0..1, with a little variety; NaN for None."""
    rows = [[v / 255 for v in COLOURS[name][0]] if name else [float("nan")] * 3 for name in names]
    rows = torch.tensor(rows, device=device)
    return (rows + (torch.rand_like(rows) - 0.5) * 0.12).clamp(0, 1)


def scene_pictures(first, second, colours, relation, rows, columns, plain=0.6):
    """bytes [n, S, S, 4] each, colours ([n, 3], [n, 3]), relation [n] (index into RELATIONS) -> patches."""
    n, device = len(first), first.device
    assert int(relation.max()) < len(RELATIONS)
    height, width = rows * PATCH, columns * PATCH
    longer = max(height, width)
    reach = torch.tensor([width, height], device=device) / longer  # half-extent of the frame along x, y
    centre = DIRECTION.to(device)[relation] * reach * uniform(n, 0.42, 0.55, device).view(n, 1)
    wobble = lambda: (torch.rand(n, 2, device=device) - 0.5) * 0.16
    x = None
    for pixels, rgb, sign in ((first, colours[0], 1), (second, colours[1], -1)):
        at = sign * centre + wobble()
        size = uniform(n, 0.4, 0.52, device) * float(reach.min())
        drawn = place(tint(premultiplied(pixels), rgb), height, width, at[:, 0], at[:, 1], size, uniform(n, -0.15, 0.15, device))
        x = drawn if x is None else drawn + x * (1 - drawn[:, 3:])
    return patchify(over(x, backgrounds(n, height, width, plain, device)))
