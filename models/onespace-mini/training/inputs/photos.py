"""Photographs: which there are, what is said about them, how they are shown.

A class is a thing photos show ("school bus"), named in six languages in
data/photo-names.txt. A word that several classes share ("cat", "bridge") and
the words of data/photo-kinds.txt name a kind: all its classes are right answers.
"""

import json
import pathlib
import zlib

import numpy as np
import torch
import torch.nn.functional as F

from inputs import captions
from inputs.captions import DATA
from inputs.pictures import blur, jitter, patchify, uniform

NAMES = pathlib.Path(__file__).resolve().parents[1] / "data"
NAME_LANGUAGES = ["en", "zh", "ja", "de", "fr", "es"]
SPOKEN = {"en": 0.42, "zh": 0.28, "ja": 0.08, "de": 0.08, "fr": 0.07, "es": 0.07}
KIND_LANGUAGES = ["en", "zh", "ja", "de"]
UNSEEN_SYNONYMS = 33  # per cent of WordNet's synonyms
FEW = 0.4  # how often a class with few photos is dealt beside one with many


def read_table(file):
    """Rows of stripped cells; a cell is a list of names."""
    lines = (NAMES / file).read_text(encoding="utf-8").splitlines()
    split = lambda cell: [name.strip() for name in cell.replace(";", ",").split(",")]
    return [[split(cell) for cell in line.split("|")] for line in lines if line and not line.startswith("#")]


class Words:
    """What photos are called: `names[class][language]` that belong to one class alone, and kinds."""

    def __init__(self, synsets):
        """synsets: {label: WordNet's words for it}"""
        self.classes, self.of_label = [], {}  # plainest English names; label of a photo -> class
        said = []
        for label, *languages in read_table("photo-names.txt"):
            plain = languages[0][0]
            if plain not in self.classes:
                self.classes.append(plain)
                said.append({language: [] for language in NAME_LANGUAGES})
            k = self.of_label[label[0]] = self.classes.index(plain)
            for language, names in zip(NAME_LANGUAGES, languages):
                said[k][language] += [n for n in names if n not in said[k][language]]
        self.unseen_synonyms = self._add_synonyms(said, synsets)

        owners = {}  # (language, word) -> classes
        for k, names in enumerate(said):
            for language in NAME_LANGUAGES:
                for word in names[language]:
                    owners.setdefault((language, word), set()).add(k)
        self.unseen_kinds = {}
        for languages in read_table("photo-kinds.txt"):
            members = {self.classes.index(name) for name in languages[4]}
            unseen = languages[0][0].startswith("?")
            for language, names in zip(KIND_LANGUAGES, languages):
                for word in names:
                    if unseen:
                        self.unseen_kinds[language, word.lstrip("? ")] = members
                    else:
                        owners.setdefault((language, word), set()).update(members)
        for key in self.unseen_kinds.keys() & owners.keys():
            del owners[key]
        self.kinds = {key: classes for key, classes in sorted(owners.items()) if len(classes) > 1}
        own = lambda key, names: key in owners and (key not in self.kinds or key[1] == names[0])  # the plainest name stays even so
        self.names = [{language: [w for w in names if own((language, w), names)] for language, names in languages.items()} for languages in said]

    def _add_synonyms(self, said, synsets):
        """WordNet's other words join the English names; a part of them is only ever evaluated on."""
        known = {w.lower() for names in said for w in names["en"]}
        unseen = {}
        for label, words in synsets.items():
            k = self.of_label[label]
            for word in words:
                if word.lower() in known:
                    continue
                if zlib.crc32(f"photo:{word}".encode()) % 100 < UNSEEN_SYNONYMS:
                    unseen.setdefault(word, set()).add(k)
                else:
                    said[k]["en"].append(word)
        return unseen

    def caption(self, k, rng):
        """Some way to name a class; the plainest most of the time."""
        language = rng.choices(list(SPOKEN), SPOKEN.values())[0]
        plain, *others = self.names[k][language] or self.names[k]["en"] or [self.classes[k]]
        word = rng.choice(others) if others and rng.random() < 0.3 else plain
        return self.templated(word, language, rng)

    def templated(self, word, language, rng):
        if rng.random() < 0.3:
            return captions.asked(word, language, rng)
        return word


class PhotoSet:
    """Photos [N, S, S, 3] with their class and proportions (width / height), each [N]."""

    def __init__(self, pixels, classes, aspects, device):
        self.pixels = torch.from_numpy(pixels).to(device)
        self.classes, self.aspects = np.asarray(classes), np.asarray(aspects)
        self.of = {}
        for k, c in enumerate(self.classes):
            self.of.setdefault(int(c), []).append(k)

    def __len__(self):
        return len(self.classes)


class Album:
    """`train` (two sets of different size), `val` and `unseen` (a fifth of each class of Caltech-101)."""

    def __init__(self, device, training=True):
        index = json.loads((DATA / "photos.json").read_text())
        self.words = Words(index["synsets"])
        load = lambda name: self._load(index[name])
        caltech, labels, aspects = load("caltech")
        turn, held_out = {}, np.zeros(len(labels), bool)
        for k, c in enumerate(labels):
            turn[c] = turn.get(c, -1) + 1
            held_out[k] = turn[c] % 5 == 0
        self.unseen = PhotoSet(caltech[held_out], labels[held_out], aspects[held_out], device)
        self.val = PhotoSet(*load("val"), device)
        if training:
            self.train = [PhotoSet(*load("train"), device), PhotoSet(caltech[~held_out], labels[~held_out], aspects[~held_out], device)]

    def _load(self, source):
        side = source["side"]
        parts = [np.fromfile(DATA / s["file"], np.uint8).reshape(s["count"], side, side, 3) for s in source["shards"]]
        classes = np.array([self.words.of_label[label] for label in source["labels"]])
        return np.concatenate(parts), classes, np.array(source["aspects"])

    def deal(self, count, rng):
        """Classes, none twice, and two photos of each as (set, number)."""
        large, small = self.train
        weight = {c: 1.0 if c in large.of else FEW for c in {**large.of, **small.of}}
        dealt = sorted(weight, key=lambda c: rng.random() ** (1 / weight[c]))[-count:]
        rng.shuffle(dealt)
        chosen = []
        for c in dealt:
            own = [(s, k) for s, photos in enumerate(self.train) for k in (rng.sample(photos.of[c], 2) if c in photos.of else [])]
            chosen.append(rng.sample(own, 2))
        return dealt, [a for a, _ in chosen] + [b for _, b in chosen]

    def show(self, chosen, rows, columns, render):
        """(set, number) of each photo -> render(pixels of one set, places in the result, rows, columns), put together."""
        parts, order = [], []
        for s, photos in enumerate(self.train):
            where = [k for k, (of, _) in enumerate(chosen) if of == s]
            if where:
                numbers = torch.tensor([chosen[k][1] for k in where], device=photos.pixels.device)
                parts.append(render(photos.pixels[numbers], rows, columns))
                order += where
        return torch.cat(parts)[torch.tensor(order).argsort().to(parts[0].device)]


def crop(x, height, width, centre, extent):
    """[n, 3, S, S] seen through a window: centre and extent [n, 2] as (x, y) in -1..1 and 0..1; negative extent mirrors."""
    zero = torch.zeros(len(x), device=x.device)
    theta = torch.stack([torch.stack([extent[:, 0], zero, centre[:, 0]], -1), torch.stack([zero, extent[:, 1], centre[:, 1]], -1)], -2)
    lattice = F.affine_grid(theta, (len(x), 3, height, width), align_corners=False)
    return F.grid_sample(x, lattice, mode="bilinear", padding_mode="border", align_corners=False)


def random_window(n, smallest, device):
    """Random resized crop: a share of the sides, mildly out of proportion, anywhere, half of them mirrored."""
    extent = uniform(n, smallest, 1.0, device).unsqueeze(1) * uniform(2 * n, -0.12, 0.12, device).exp().view(n, 2)
    extent = extent.clamp(max=1)
    return (torch.rand(n, 2, device=device) * 2 - 1) * (1 - extent), extent


def mirrored(extent):
    flip = torch.where(torch.rand(len(extent), device=extent.device) < 0.5, -1.0, 1.0)
    return torch.stack([extent[:, 0] * flip, extent[:, 1]], 1)


def recolour(x):
    """As drawings are: changes of brightness, colours and contrast, and some blur."""
    opaque = torch.ones_like(x[:, :1])
    return blur(jitter(torch.cat([x, opaque], 1)), 0.06)[:, :3].clamp(0, 1)


def floats(pixels):
    return pixels.permute(0, 3, 1, 2).float() / 255


def photo_pictures(pixels, rows, columns, strength):
    """Augmented photos: bytes [n, S, S, 3] -> patches [n, rows * columns, 768]."""
    centre, extent = random_window(len(pixels), 1 - 0.6 * strength, pixels.device)
    return patchify(recolour(crop(floats(pixels), rows * 16, columns * 16, centre, mirrored(extent))))


def panning_pictures(pixels, rows, columns, frames):
    """The camera pans or zooms over a photo: -> patches [n, frames * rows * columns, 768]."""
    n, device = len(pixels), pixels.device
    (c1, e1), (c2, e2) = random_window(n, 0.5, device), random_window(n, 0.5, device)
    u = torch.linspace(0, 1, frames, device=device).view(1, frames, 1)
    centre = (c1.unsqueeze(1) * (1 - u) + c2.unsqueeze(1) * u).flatten(0, 1)
    extent = (e1.unsqueeze(1) * (1 - u) + e2.unsqueeze(1) * u).flatten(0, 1)
    x = crop(recolour(floats(pixels)).repeat_interleave(frames, 0), rows * 16, columns * 16, centre, extent)
    return patchify(x).reshape(n, frames * rows * columns, -1)


def plain_photos(pixels, rows, columns):
    """Photos as the service sees them."""
    x = floats(pixels)
    if x.shape[-2:] != (rows * 16, columns * 16):
        x = F.interpolate(x, size=(rows * 16, columns * 16), mode="bilinear", align_corners=False, antialias=True)
    return patchify(x.clamp(0, 1))
