"""From drawings to patches: placing, colouring, styles, backgrounds.

Pictures are float tensors [n, 4, H, W] with premultiplied alpha until they meet
a background, then [n, 3, H, W] in 0..1, then patches [n, rows * columns, 768].
All randomness comes from torch's generator, so a seed reproduces a batch.
"""

import torch
import torch.nn.functional as F

PATCH = 16


def uniform(n, low, high, device):
    return torch.rand(n, device=device) * (high - low) + low


def column(values):
    """[n] -> [n, 1, 1, 1]"""
    return values.view(-1, 1, 1, 1)


def premultiplied(pixels):
    """bytes [..., H, W, 4] -> floats [-1, 4, H, W]"""
    x = pixels.reshape(-1, *pixels.shape[-3:]).permute(0, 3, 1, 2).float() / 255
    return torch.cat([x[:, :3] * x[:, 3:], x[:, 3:]], 1)


def place(x, height, width, cx, cy, scale, angle, stretch=None):
    """Draws squares [n, 4, S, S] onto empty frames [n, 4, H, W].

    cx, cy: centre, -1..1 along the longer side; scale: side as a share of the
    longer side; angle in radians, clockwise; all [n].
    """
    longer = max(height, width)
    if float(scale.mean()) * longer < 0.6 * x.shape[-1]:
        x = F.avg_pool2d(x, 2)  # a coarser original, against aliasing
    wide, high = width / longer / scale, height / longer / scale
    if stretch is not None:
        wide, high = wide * stretch, high / stretch
    cos, sin = angle.cos(), angle.sin()
    # output place -> input place: shift back, then turn back, then enlarge
    dx, dy = -cx / scale, -cy / scale
    theta = torch.stack(
        [
            torch.stack([cos * wide, sin * high, cos * dx + sin * dy], -1),
            torch.stack([-sin * wide, cos * high, cos * dy - sin * dx], -1),
        ],
        -2,
    )
    lattice = F.affine_grid(theta, (len(x), 4, height, width), align_corners=False)
    return F.grid_sample(x, lattice, mode="bilinear", padding_mode="zeros", align_corners=False)


def tint(x, rgb):
    """Recolours [n, 4, H, W] towards rgb [n, 3] (0..1): coloured parts keep their
    shading and lose their hue; a drawing without colours is coloured all over."""
    colour, alpha = x[:, :3], x[:, 3:]
    plain = colour / alpha.clamp(min=1e-3)
    light = plain.mean(1, keepdim=True)
    chroma = plain.amax(1, keepdim=True) - plain.amin(1, keepdim=True)
    colourful = (chroma * alpha).sum((2, 3), keepdim=True) / alpha.sum((2, 3), keepdim=True).clamp(min=1)
    strength = torch.where(colourful > 0.15, (chroma * 4).clamp(max=1), torch.ones_like(chroma))
    target = rgb[:, :, None, None]
    # black at 0, the colour at 0.55, white at 1
    dark, bright = (light / 0.55).clamp(max=1) * 0.7 + 0.3, ((light - 0.55) / 0.45).clamp(min=0) * 0.6
    ramp = target * dark * (1 - bright) + bright
    mixed = plain * (1 - strength) + ramp * strength
    return torch.cat([mixed.clamp(0, 1) * alpha, alpha], 1)


def jitter(x):
    """Small changes of brightness, colour balance, saturation and contrast."""
    n, device = len(x), x.device
    colour, alpha = x[:, :3], x[:, 3:]
    gain = uniform(3 * n, 0.85, 1.15, device).view(n, 3, 1, 1) * column(uniform(n, 0.85, 1.15, device))
    grey = (colour * gain).mean(1, keepdim=True)
    saturation = column(torch.where(torch.rand(n, device=device) < 0.08, torch.zeros(n, device=device), uniform(n, 0.6, 1.4, device)))
    contrast = column(uniform(n, 0.8, 1.25, device))
    colour = (grey + (colour * gain - grey) * saturation - 0.5 * alpha) * contrast + 0.5 * alpha
    return torch.cat([torch.minimum(colour.clamp(min=0), alpha), alpha], 1)


def outline(x, chance):
    """Draws some as line art: dark contours where light or shape changes, the
    fill partly or wholly washed out."""
    chosen = (torch.rand(len(x), device=x.device) < chance).nonzero().flatten()
    if len(chosen) == 0:
        return x
    y = x[chosen]
    n = len(y)
    tone = torch.cat([y[:, :3].mean(1, keepdim=True), y[:, 3:] * 0.8], 1)
    edge = (F.max_pool2d(tone, 3, 1, 1) + F.max_pool2d(-tone, 3, 1, 1)).amax(1, keepdim=True)
    edge = (edge * column(uniform(n, 1.0, 3.0, x.device)) - 0.15).clamp(0, 1)
    kind = torch.rand(n, device=x.device)
    wash = column(torch.where(kind < 0.35, torch.ones_like(kind), torch.where(kind < 0.6, uniform(n, 0.3, 1, x.device), torch.zeros_like(kind))))
    alpha = torch.maximum(y[:, 3:], edge)
    colour = (y[:, :3] * (1 - wash) + wash * y[:, 3:]) * (1 - edge)
    x = x.clone()
    x[chosen] = torch.cat([torch.minimum(colour, alpha), alpha], 1)
    return x


def blur(x, chance=0.12):
    chosen = (torch.rand(len(x), device=x.device) < chance).nonzero().flatten()
    if len(chosen):
        x = x.clone()
        x[chosen] = F.avg_pool2d(x[chosen], 3, 1, 1, count_include_pad=False)
    return x


def backgrounds(n, height, width, plain, device):
    """[n, 3, H, W]: white with probability `plain`, else one colour or a soft gradient."""
    kind = torch.rand(n, device=device)
    flat = torch.where((kind > plain).view(-1, 1, 1, 1), torch.rand(n, 3, 1, 1, device=device), torch.ones(n, 3, 1, 1, device=device))
    canvas = flat.expand(n, 3, height, width).clone()
    soft = (kind > plain + (1 - plain) * 0.7).nonzero().flatten()
    if len(soft):
        corners = torch.rand(len(soft), 3, 3, 3, device=device)
        canvas[soft] = F.interpolate(corners, size=(height, width), mode="bilinear", align_corners=True)
    return canvas


def over(x, background):
    """Premultiplied [n, 4, H, W] over [n, 3, H, W]."""
    return (x[:, :3] + background * (1 - x[:, 3:])).clamp(0, 1)


def patchify(x):
    """[n, 3, H, W] in 0..1 -> bytes [n, rows * columns, 768], each patch row, column, colour."""
    n, _, height, width = x.shape
    x = (x * 255).round().byte().reshape(n, 3, height // PATCH, PATCH, width // PATCH, PATCH)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, PATCH * PATCH * 3)


def positions(rows, columns, times, device):
    """(t, y, x) of every patch: [frames * rows * columns, 3]; y and x as a share of the longer side."""
    longer = max(rows, columns)
    y = (torch.arange(rows, device=device) + 0.5) / longer
    x = (torch.arange(columns, device=device) + 0.5) / longer
    t = torch.as_tensor(times, dtype=torch.float32, device=device)
    return torch.stack(torch.meshgrid(t, y, x, indexing="ij"), -1).reshape(-1, 3)


def drop_patches(patches, place, count):
    """Keeps `count` random patches of each row (as in FLIP, Li et al. 2023, arXiv:2212.00794)."""
    n, length = patches.shape[:2]
    place = place.expand(n, length, 3) if place.ndim == 2 else place
    if count >= length:
        return patches, place
    kept = torch.rand(n, length, device=patches.device).argsort(1)[:, :count].sort(1)[0].unsqueeze(-1)
    return patches.gather(1, kept.expand(-1, -1, patches.shape[2])), place.gather(1, kept.expand(-1, -1, 3))


def still_pictures(pixels, rows, columns, strength=1.0, colours=None):
    """Augmented stills: bytes [n, S, S, 4] -> patches [n, rows * columns, 768].

    strength 0..1 grows over the first part of training; colours [n, 3] with NaN
    where a drawing keeps its own.
    """
    n, device = len(pixels), pixels.device
    height, width = rows * PATCH, columns * PATCH
    room = min(height, width) / max(height, width)
    centre = 0.12 * strength
    along = max(0.0, 1 - room) * 0.8  # a drawing may lie anywhere along the longer side
    cx = uniform(n, -centre, centre, device) + (uniform(n, -along, along, device) if width > height else 0)
    cy = uniform(n, -centre, centre, device) + (uniform(n, -along, along, device) if height > width else 0)
    scale = uniform(n, 1 - 0.45 * strength, 1 + 0.15 * strength, device) * room
    angle = uniform(n, -0.22, 0.22, device) * strength
    x = place(premultiplied(pixels), height, width, cx, cy, scale, angle, uniform(n, -0.1, 0.1, device).exp())
    if colours is not None:
        chosen = (~colours[:, 0].isnan()).nonzero().flatten()
        x[chosen] = tint(x[chosen], colours[chosen])
    x = blur(outline(jitter(x), 0.35 * strength))
    return patchify(over(x, backgrounds(n, height, width, 0.85 - 0.35 * strength, device)))


def plain_pictures(pixels, side):
    """Stills as the service sees them: square, on white."""
    x = premultiplied(pixels)
    if x.shape[-1] != side:
        x = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return patchify(over(x, torch.ones_like(x[:, :3])))
