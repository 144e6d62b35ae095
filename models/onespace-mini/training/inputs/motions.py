"""Clips: vendors' animations, and our own, in which a drawing moves.

Our clips come in opposite pairs (left and right, growing and shrinking, A then
B and B then A): the same drawing, the same frames in another order or another
direction, so that only time tells them apart.
"""

import math

import torch

from inputs.captions import MOTIONS
from inputs.pictures import PATCH, backgrounds, over, patchify, place, positions, premultiplied, tint, uniform


def random_times(frames, rng):
    """Seconds of each frame of a clip of 0.8 to 16 s."""
    seconds = math.exp(rng.uniform(math.log(0.8), math.log(16)))
    start = rng.random()
    return [seconds * (k + start) / frames for k in range(frames)]


def filmed(x, n, rows, columns, plain=0.6):
    """The frames of n clips [n * frames, 4, H, W], each clip on a background of its own -> patches [n, frames * rows * columns, 768]."""
    canvas = backgrounds(n, rows * PATCH, columns * PATCH, plain, x.device)
    return patchify(over(x, canvas.repeat_interleave(len(x) // n, 0))).reshape(n, -1, PATCH * PATCH * 3)


def animations(clips, chosen, frames, rows, columns, rng):
    """Vendors' clips -> patches [n, frames * rows * columns, 768], positions [n, ..., 3]."""
    device = clips.pixels.device
    n, (height, width) = len(chosen), (rows * PATCH, columns * PATCH)
    kept = sorted(rng.sample(range(clips.pixels.shape[1]), frames))
    x = premultiplied(clips.pixels[torch.as_tensor(chosen, device=device)][:, kept])  # [n * frames, 4, 64, 64]
    each = lambda values: values.repeat_interleave(frames, 0)  # one value for all frames of a clip
    room = min(rows, columns) / max(rows, columns)
    cx, cy = uniform(n, -0.12, 0.12, device), uniform(n, -0.12, 0.12, device)
    scale, angle = uniform(n, 0.75, 1.1, device) * room, uniform(n, -0.2, 0.2, device)
    x = place(x, height, width, each(cx), each(cy), each(scale), each(angle))
    gain = each(uniform(3 * n, 0.85, 1.15, device).view(n, 3, 1, 1))
    x = torch.cat([torch.minimum(x[:, :3] * gain, x[:, 3:]), x[:, 3:]], 1)
    patches = filmed(x, n, rows, columns)
    total = clips.pixels.shape[1]
    times = [[float(clips.seconds[k]) * f / total * stretch for f in kept] for k, stretch in ((k, math.exp(rng.uniform(-0.7, 0.7))) for k in chosen)]
    return patches, torch.stack([positions(rows, columns, t, device) for t in times])


def paths(motion, frames, device):
    """Where a drawing is in each frame: cx, cy, scale, angle, opacity, each [n, frames]."""
    n = len(motion)
    u = torch.linspace(0, 1, frames, device=device).view(1, frames)
    draw = lambda low, high: uniform(n, low, high, device).view(n, 1)
    is_ = lambda name: (motion == MOTIONS.index(name)).view(n, 1)
    travels, resizes, turns, fades = (((motion >= a) & (motion < b)).view(n, 1) for a, b in ((0, 4), (4, 6), (6, 8), (8, 10)))

    path = (2 * u - 1) * draw(0.3, 0.6) + draw(-0.1, 0.1)
    drift_x, drift_y = draw(-0.35, 0.35), draw(-0.35, 0.35)
    cx = torch.where(is_("left"), -path, torch.where(is_("right"), path, torch.where(travels, drift_x, drift_x * 0.3).expand(n, frames)))
    cy = torch.where(is_("up"), -path, torch.where(is_("down"), path, torch.where(travels, drift_y, drift_y * 0.3).expand(n, frames)))

    small, large = draw(0.2, 0.4), draw(0.7, 1.0)
    still = torch.where(travels, draw(0.35, 0.65), draw(0.55, 0.9)).expand(n, frames)
    scale = torch.where(is_("grow"), small + (large - small) * u, torch.where(is_("shrink"), large - (large - small) * u, still))

    turned, start = draw(0.5 * math.pi, 1.5 * math.pi) * u, draw(-0.4, 0.4)
    direction = is_("clockwise").float() - is_("anticlockwise").float()
    angle = torch.where(turns, start + direction * turned, draw(-0.12, 0.12).expand(n, frames))

    moment, softness = draw(0.3, 0.7), torch.where(torch.rand(n, 1, device=device) < 0.5, draw(0.02, 0.05), draw(0.3, 0.6))  # pop or fade
    risen = ((u - moment) / softness + 0.5).clamp(0, 1)
    opacity = torch.where(is_("appear"), risen, torch.where(is_("disappear"), 1 - risen, torch.ones_like(risen)))
    return cx, cy, scale, angle, torch.where(fades, opacity, torch.ones_like(opacity))


def moving_pictures(pixels, motion, frames, rows, columns, colours=None, plain=0.6):
    """bytes [n, S, S, 4], motion [n] (index into MOTIONS) -> patches [n, frames * rows * columns, 768]."""
    n, device = len(pixels), pixels.device
    height, width = rows * PATCH, columns * PATCH
    x = premultiplied(pixels)
    if colours is not None:
        chosen = (~colours[:, 0].isnan()).nonzero().flatten()
        x[chosen] = tint(x[chosen], colours[chosen])
    cx, cy, scale, angle, opacity = (v.reshape(-1) for v in paths(motion, frames, device))
    room = min(rows, columns) / max(rows, columns)
    x = place(x.repeat_interleave(frames, 0), height, width, cx, cy, scale * room, angle) * opacity.view(-1, 1, 1, 1)
    return filmed(x, n, rows, columns, plain)


def turning_pictures(pixels, direction, lesson, frames, rows, columns, plain=0.6):
    """Drawings that turn: bytes [n, S, S, 4], direction [n] (1 clockwise, -1 the other way), lesson [n] (0..1) -> patches as above.

    Which way a thing turns cannot be told from where it is, nor from when, but only from both together in several frames:
    nothing leads there step by step, and shown as it is it was never learnt. So there are lessons. At first a drawing goes
    round a point like the hand of a clock, from the top, where one way is to the right and the other to the left; up to
    0.5 it sets out from ever farther round; up to 1 the circle shrinks, until the drawing turns on the spot.
    """
    n, device = len(pixels), pixels.device
    height, width = rows * PATCH, columns * PATCH
    draw = lambda low, high: uniform(n, low, high, device).view(n, 1)
    lesson, direction = lesson.view(n, 1), direction.view(n, 1)
    turned = direction * draw(0.5 * math.pi, 1.5 * math.pi) * torch.linspace(0, 1, frames, device=device)  # [n, frames]
    circle = (2 - 2 * lesson).clamp(0, 1)
    around = draw(-1, 1) * (0.3 + math.pi * (2 * lesson).clamp(0, 1)) - math.pi / 2 + turned
    radius = draw(0.35, 0.6) * circle
    cx, cy = draw(-0.1, 0.1) + radius * around.cos(), draw(-0.1, 0.1) + radius * around.sin()
    scale = draw(0.3, 0.6) * circle + draw(0.55, 0.9) * (1 - circle)
    room = min(rows, columns) / max(rows, columns)
    each = lambda values: values.expand(n, frames).reshape(-1)
    x = place(premultiplied(pixels).repeat_interleave(frames, 0), height, width, each(cx), each(cy), each(scale) * room, each(draw(-0.4, 0.4) + turned))
    return filmed(x, n, rows, columns, plain)


def sequences(first, second, frames, rows, columns, plain=0.6):
    """First one drawing, then the other; bytes [n, S, S, 4] each -> patches as above."""
    n, device = len(first), first.device
    height, width = rows * PATCH, columns * PATCH
    room = min(rows, columns) / max(rows, columns)
    value = lambda low, high: uniform(n, low, high, device)
    shown = [place(premultiplied(x), height, width, value(-0.15, 0.15), value(-0.15, 0.15), value(0.6, 0.95) * room, value(-0.15, 0.15)) for x in (first, second)]
    change = torch.randint(frames // 2 - 1, frames // 2 + 2, (n, 1), device=device).clamp(1, frames - 1)
    is_second = (torch.arange(frames, device=device).view(1, frames) >= change).view(n, frames, 1, 1, 1)
    x = torch.where(is_second, shown[1].unsqueeze(1), shown[0].unsqueeze(1)).flatten(0, 1)
    return filmed(x, n, rows, columns, plain)
