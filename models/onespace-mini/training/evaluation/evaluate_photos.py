"""The part of the evaluation about photographs: Tiny ImageNet's validation photos and the
fifth of Caltech-101 that is held out. Sections as in evaluate.py."""

import numpy as np
import torch
import torch.nn.functional as F

from inputs.dictionary import is_told
from hardware import DEVICE
from inputs.photos import NAME_LANGUAGES, floats, plain_photos
from inputs.pictures import positions
from evaluation.tables import numbers, table

IMAGE_SIDE = 64
PATCHES = IMAGE_SIDE // 16


def grid(aspect):
    """Rows and columns of patches of a photo, as the service fits it: the longer side is IMAGE_SIDE."""
    longer, shorter = PATCHES, max(1, round(PATCHES * min(aspect, 1 / aspect)))
    return (shorter, longer) if aspect >= 1 else (longer, shorter)


def embed(encoder, photos):
    """PhotoSet -> unit vectors [N, D], each photo in its own proportions."""
    vectors = torch.zeros(len(photos), 256, device=DEVICE)
    shapes = [grid(a) for a in photos.aspects]
    for shape in sorted(set(shapes)):
        which = torch.tensor([k for k, s in enumerate(shapes) if s == shape], device=DEVICE)
        places = positions(*shape, [0.0], DEVICE)
        for part in which.split(256):
            vectors[part] = encoder.patches(plain_photos(photos.pixels[part], *shape), places)
    return vectors


def precision(queries, gallery, right, k=10):
    """Mean share (in %) of the first k that are right; right: bool [queries, gallery]."""
    best = (queries @ gallery.t()).topk(k, dim=1).indices
    return 100 * float(right.gather(1, best).float().mean())


def classify(photos, names, answer):
    """Share (in %) of photos whose class name comes first, or among the first five."""
    best = (photos @ names.t()).topk(5, dim=1).indices.eq(answer.unsqueeze(1))
    return [100 * float(best[:, :k].any(1).float().mean()) for k in (1, 5)]


def raw_pixels(photos, side=16):
    """The baseline: 16x16 colour pixels, centred, of unit length."""
    x = torch.cat([F.interpolate(floats(part), size=(side, side), mode="bilinear", antialias=True) for part in photos.pixels.split(1024)])
    x = x.flatten(1)
    return F.normalize(x - x.mean(1, keepdim=True), dim=1)


class PhotoGallery:
    """Both held-out sets and their vectors."""

    def __init__(self, encoder, album):
        self.encoder, self.words = encoder, album.words
        self.sets = {"Tiny ImageNet": album.val, "Caltech-101": album.unseen}
        self.vectors = {name: embed(encoder, photos) for name, photos in self.sets.items()}

    def classes(self, name):
        """The classes of a set and which of them each photo is."""
        present = sorted(set(map(int, self.sets[name].classes)))
        place = {c: k for k, c in enumerate(present)}
        return present, torch.tensor([place[int(c)] for c in self.sets[name].classes], device=DEVICE)


def photos_by_name(gallery):
    rows = []
    for name, photos in gallery.sets.items():
        present, answer = gallery.classes(name)
        right = answer.unsqueeze(0) == torch.arange(len(present), device=DEVICE).unsqueeze(1)
        for language in NAME_LANGUAGES:
            plainest = [(gallery.words.names[c][language] or [gallery.words.classes[c]])[0] for c in present]
            queries = gallery.encoder.texts(plainest)
            k = 10 if name == "Tiny ImageNet" else 5
            found = precision(queries, gallery.vectors[name], right, k)
            rows.append([f"{name}, {language}", len(photos), len(present), f"{found:.1f} (of {k})", *numbers(classify(gallery.vectors[name], queries, answer))])
    note = "Class name -> photo: share of right photos among the first 10 (5 for Caltech-101, which has few of each). Photo -> class name: whether the right name comes first, or among the first five. Chance: 0.5 and 1 for one answer."
    return "Photographs by name", note, table(["photos, language", "photos", "classes", "name -> photo P", "photo -> name top-1", "top-5"], rows)


def photos_alike(gallery):
    rows = []
    for name, photos in gallery.sets.items():
        _, answer = gallery.classes(name)
        for how, vectors in (("model", gallery.vectors[name]), ("raw 16x16 pixels", raw_pixels(photos))):
            found = 0.0
            for part in torch.arange(len(photos), device=DEVICE).split(1000):
                scores = vectors[part] @ vectors.t()
                scores[torch.arange(len(part), device=DEVICE), part] = -2  # not itself
                best = scores.topk(10, dim=1).indices
                found += float(answer[best].eq(answer[part].unsqueeze(1)).float().mean(1).sum())
            rows.append([f"{name}, {how}", len(photos), f"{100 * found / len(photos):.1f}"])
    return "Photographs alike", "Photo -> photo: share of photos of the same class among the nearest ten.", table(["photos", "queries", "P@10"], rows)


def photos_by_other_words(gallery):
    vectors = torch.cat(list(gallery.vectors.values()))
    owner = np.concatenate([photos.classes for photos in gallery.sets.values()])
    words = gallery.words
    rows = []
    synonyms = {("en", w): c for w, c in words.unseen_synonyms.items()}
    asked = {"WordNet synonym, never said": synonyms}
    asked["of these, in the dictionary"] = {key: c for key, c in synonyms.items() if is_told(key[1].lower())}
    asked["of these, met nowhere"] = {key: c for key, c in synonyms.items() if not is_told(key[1].lower())}
    for language in ("en", "zh"):
        of = lambda kinds: {key: c for key, c in kinds.items() if key[0] == language}
        asked[f"kind ({language})"] = of(words.kinds)
        asked[f"kind never said of a photo ({language})"] = of(words.unseen_kinds)
    for what, questions in asked.items():
        right = torch.from_numpy(np.stack([np.isin(owner, sorted(c)) for c in questions.values()])).to(DEVICE)
        found = precision(gallery.encoder.texts([word for _, word in questions]), vectors, right)
        rows.append([what, len(questions), f"{found:.1f}", f"{100 * float(right.float().mean()):.1f}"])
    note = "Other words for what photos show, asked of both sets together: synonyms that stand in no caption, kinds (\"dog\" is right for every breed), and kinds no training photo was ever called."
    return "Photographs by other words", note, table(["query", "queries", "P@10", "chance"], rows)


PHOTO_SECTIONS = [photos_by_name, photos_alike, photos_by_other_words]
