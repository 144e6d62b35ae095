"""The drawings and clips on disk, and who may see which.

Three things are never trained on: whole vendors marked `unseen`, a fifth of the
clips that move (by a hash of their concept), and the files the samples are made
of (samples/selection.json).
"""

import json
import pathlib
import re
import zlib

import numpy as np
import torch
import torch.nn.functional as F

from inputs.captions import COLOURS, CONCEPTS, DATA
from hardware import DEVICE

SELECTION = pathlib.Path(__file__).resolve().parents[4] / "samples" / "selection.json"
MOVES = 0.5  # mean absolute change between frames above which a clip counts as moving
# what means something else in a mirror, or nothing: symbols and flags, clocks, and what has a side in its name
ONE_WAY_GROUPS, CLOCKS = {8, 9}, 58  # emojibase's numbers
ONE_WAY_NAMES = re.compile(r"left|right|clockwise|moon")
KEY_TO_CONCEPT = {c["key"]: i for i, c in enumerate(CONCEPTS)}


def share(concept, purpose):
    """0..99, fixed for a concept and a purpose: the basis of every split."""
    return zlib.crc32(f"{purpose}:{CONCEPTS[concept]['key']}".encode()) % 100


def may_be_mirrored(concept):
    c = CONCEPTS[concept]
    return c["group"] not in ONE_WAY_GROUPS and c["subgroup"] != CLOCKS and not ONE_WAY_NAMES.search(c["text"]["en"][0])


def sample_files():
    """{(source, concept)} of the drawings that samples/ is made of."""
    if not SELECTION.exists():
        return set()
    selection = json.loads(SELECTION.read_text(encoding="utf-8"))
    files = {(item["source"], KEY_TO_CONCEPT[item["key"]]) for item in selection["pictures"]}
    # an animation and the 3-D still of the same concept are one drawing
    return files | {("fluent-3d", KEY_TO_CONCEPT[item["key"]]) for item in selection["clips"]}


def _read_shards(shards, shape):
    parts = [np.fromfile(DATA / s["file"], np.uint8).reshape(s["count"], *shape) for s in shards]
    return np.concatenate(parts)


class Drawings:
    """Stills as RGBA bytes [N, 96, 96, 4] with their concept and vendor [N]."""

    def __init__(self, pixels, concept, vendor):
        self.pixels = torch.from_numpy(pixels).to(DEVICE)
        self.concept = np.asarray(concept)
        self.vendor = vendor
        self.of = {}  # concept -> its drawings
        for k, c in enumerate(self.concept):
            self.of.setdefault(int(c), []).append(k)

    def __len__(self):
        return len(self.concept)


class Clips:
    """Animations as RGBA bytes [N, 8, 64, 64, 4], their concept and length in seconds."""

    def __init__(self, pixels, index, keep):
        self.pixels = torch.from_numpy(pixels[keep]).to(DEVICE)
        self.concept = np.asarray(index["concepts"])[keep]
        self.seconds = np.asarray(index["seconds"], np.float32)[keep]
        self.of = {int(c): k for k, c in enumerate(self.concept)}

    def __len__(self):
        return len(self.concept)


class Collection:
    """All data, split: `train` (every vendor in one pool), `unseen` per vendor, `clips` and `unseen_clips`."""

    def __init__(self):
        index = json.loads((DATA / "index.json").read_text())
        side, frames, clip_side = index["stillSide"], index["clipFrames"], index["clipSide"]
        kept = sample_files()

        clips = index["clips"]
        pixels = _read_shards(clips["shards"], (frames, clip_side, clip_side, 4))
        concept = np.asarray(clips["concepts"])
        is_sample = np.array([("fluent-3d", int(c)) in kept for c in concept])
        moves = np.asarray(clips["movement"]) > MOVES
        unseen = moves & np.array([share(c, "clip") < 20 for c in concept])
        self.clips = Clips(pixels, clips, moves & ~unseen & ~is_sample)
        self.unseen_clips = Clips(pixels, clips, unseen & ~is_sample)

        first = torch.from_numpy(pixels[~unseen & ~is_sample, 0]).permute(0, 3, 1, 2).float()
        first = F.interpolate(first, size=(side, side), mode="bilinear", align_corners=False)
        pool = [first.round().byte().permute(0, 2, 3, 1).numpy()]
        owner = [concept[~unseen & ~is_sample]]
        vendors = ["fluent-3d"] * len(owner[0])
        self.unseen = {}
        self.seen = {}
        for vendor in index["stills"]:
            drawn = _read_shards(vendor["shards"], (side, side, 4))
            ids = np.asarray(vendor["concepts"])
            if vendor["role"] == "unseen":
                self.unseen[vendor["name"]] = Drawings(drawn, ids, [vendor["name"]] * len(ids))
                continue
            ours = np.array([(vendor["name"], int(c)) not in kept for c in ids])
            pool.append(drawn[ours])
            owner.append(ids[ours])
            vendors += [vendor["name"]] * len(owner[-1])
            if vendor["name"] == "noto":
                self.seen["noto"] = Drawings(drawn[ours], ids[ours], ["noto"] * int(ours.sum()))
        self.train = Drawings(np.concatenate(pool), np.concatenate(owner), vendors)
        self.train.colour = natural_colours(self.train.pixels)


def natural_colours(pixels, chunk=2048):
    """The name of the colour most of a drawing has, or None: lets us say "red car" of a red car."""
    names = [n for n in COLOURS if n not in ("black", "white", "grey")]
    anchors = torch.tensor([COLOURS[n][0] for n in names], device=pixels.device).float()
    found = []
    for part in pixels.split(chunk):
        small = part[:, 4::8, 4::8].reshape(len(part), -1, 4).float()  # [n, 144, 4]
        rgb, opaque = small[..., :3], small[..., 3] > 128
        vivid = (rgb.amax(-1) - rgb.amin(-1) > 60) & opaque
        nearest = torch.cdist(rgb, anchors.expand(len(part), -1, -1)).argmin(-1)  # [n, 144]
        votes = torch.stack([((nearest == k) & vivid).sum(1) for k in range(len(names))], 1).float()
        ratio, best = (votes / opaque.sum(1, keepdim=True).clamp(min=1)).max(1)
        found += [names[b] if r > 0.55 else None for r, b in zip(ratio.tolist(), best.tolist())]
    return found
