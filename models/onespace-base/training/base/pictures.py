"""Photographs to frames on the device: crops of any proportions, colours, coarse originals; and a camera that moves over them."""

import math

import torch
import torch.nn.functional as F

from base.model import CELL

CELLS = 49  # of a picture, about
# (rows, columns) of a batch of photos and how often
SHAPES = {(7, 7): 6, (6, 8): 2, (8, 6): 1.5}
UNKNOWN = (3 / 4, 1, 4 / 3, 3 / 2)  # proportions of a photo whose own are not known


def shape(aspect, cells=CELLS):
    """(rows, columns) of a picture as served: width / height in, about `cells` of them."""
    aspect = min(max(aspect if aspect == aspect else 1.0, 1 / 4), 4)
    side = math.sqrt(cells)
    return max(2, round(side / math.sqrt(aspect))), max(2, round(side * math.sqrt(aspect)))


def window(x, height, width, centre, extent):
    """[n, 3, S, S] through a window: centre and extent [n, 2] as (x, y) in -1..1 and 0..1; a negative extent mirrors."""
    zero = torch.zeros(len(x), device=x.device)
    theta = torch.stack([torch.stack([extent[:, 0], zero, centre[:, 0]], -1), torch.stack([zero, extent[:, 1], centre[:, 1]], -1)], -2)
    return F.grid_sample(x, F.affine_grid(theta, (len(x), 3, height, width), align_corners=False), mode="bilinear", padding_mode="border", align_corners=False)


def extents(aspects, rows, columns, smallest, distortion):
    """Sides of random windows as shares of the photos', out of proportion by at most about exp(distortion): [n, 2]."""
    n, device = len(aspects), aspects.device
    guess = torch.tensor(UNKNOWN, device=device)[torch.randint(len(UNKNOWN), (n,), device=device)]
    aspects = torch.where(aspects.isnan(), guess, aspects)
    area = torch.rand(n, device=device) * (1 - smallest) + smallest
    ratio = columns / rows / aspects * ((torch.rand(n, device=device) * 2 - 1) * distortion).exp()
    return torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 1).clamp(max=1)


def recoloured(x):
    """0..1 [n, 3, H, W]: brightness, colour balance, saturation, contrast; some grey, some coarse, some blurred."""
    n, device = len(x), x.device
    draw = lambda low, high: torch.rand(n, 1, 1, 1, device=device) * (high - low) + low
    gain = torch.rand(n, 3, 1, 1, device=device) * 0.2 + 0.9
    x = x * gain * draw(0.75, 1.25)
    grey = x.mean(1, keepdim=True)
    saturation = torch.where(torch.rand(n, 1, 1, 1, device=device) < 0.04, torch.zeros(n, 1, 1, 1, device=device), draw(0.6, 1.4))
    x = grey + (x - grey) * saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    x = ((x - mean) * draw(0.75, 1.25) + mean).clamp(0, 1)
    chosen = (torch.rand(n, device=device) < 0.15).nonzero().flatten()
    if len(chosen):  # a coarse original
        size = x.shape[-2:]
        small = F.interpolate(x[chosen], scale_factor=0.4, mode="bilinear", antialias=True, align_corners=False)
        x = x.index_copy(0, chosen, F.interpolate(small, size=size, mode="bilinear", align_corners=False))
    return x


def floats(pixels):
    return pixels.permute(0, 3, 1, 2).float() / 255


def augmented(pixels, aspects, rows, columns, smallest=0.35):
    """bytes [n, S, S, 3], width / height [n] (NaN where not known) -> frames of 0..255 [n, 3, 32 rows, 32 columns]"""
    extent = extents(aspects, rows, columns, smallest, 0.28)
    centre = (torch.rand(len(pixels), 2, device=pixels.device) * 2 - 1) * (1 - extent)
    flip = torch.where(torch.rand(len(pixels), device=pixels.device) < 0.5, -1.0, 1.0)
    extent = torch.stack([extent[:, 0] * flip, extent[:, 1]], 1)
    x = recoloured(window(floats(pixels), rows * CELL, columns * CELL, centre, extent))
    n, device = len(x), x.device
    # a rectangle of some is left blank (Zhong et al. 2017, arXiv:1708.04896)
    y, z = torch.arange(rows * CELL, device=device).view(1, -1, 1), torch.arange(columns * CELL, device=device).view(1, 1, -1)
    low_y, low_z = torch.rand(n, 1, 1, device=device) * rows * CELL, torch.rand(n, 1, 1, device=device) * columns * CELL
    high = (torch.rand(n, 1, 1, device=device) * 0.35 + 0.1) * min(rows, columns) * CELL
    blank = (y >= low_y) & (y < low_y + high) & (z >= low_z) & (z < low_z + high) & (torch.rand(n, 1, 1, device=device) < 0.25)
    return torch.where(blank.unsqueeze(1), torch.full_like(x, 0.45), x) * 255


def panned(pixels, aspects, rows, columns, frames):
    """A camera moves over photos: -> [n * frames, 3, H, W]"""
    (e1, e2), n, device = (extents(aspects, rows, columns, 0.4, 0.15) for _ in range(2)), len(pixels), pixels.device
    c1, c2 = ((torch.rand(n, 2, device=device) * 2 - 1) * (1 - e) for e in (e1, e2))
    u = torch.linspace(0, 1, frames, device=device).view(1, frames, 1)
    mix = lambda a, b: (a.unsqueeze(1) * (1 - u) + b.unsqueeze(1) * u).flatten(0, 1)
    x = recoloured(floats(pixels)).repeat_interleave(frames, 0)
    return window(x, rows * CELL, columns * CELL, mix(c1, c2), mix(e1, e2)) * 255


def plain(pixels, rows, columns):
    """As served: the whole photo."""
    return F.interpolate(floats(pixels), size=(rows * CELL, columns * CELL), mode="bilinear", align_corners=False, antialias=True).clamp(0, 1) * 255
