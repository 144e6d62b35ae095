"""Photographs: packs on disk to bytes in memory, what each shows, and who may see which.

`NAME.bin` is pictures one after another, `NAME.json` their index: `entries_list` of [offset, length, label, extra]. What a
pack marks `test`, Tiny ImageNet's validation photos, and every fifth of each class of Caltech-101 are never trained on, nor
is a photo whose difference hash lies within 4 bits of one of these.
"""

import io
import json
import pathlib
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from PIL import Image

SIDE = 144  # pixels that a photo is kept at, squashed to a square; its proportions are kept beside it
NEAR = 4  # bits
NAME_LANGUAGES = ["en", "zh", "ja", "de", "fr", "es"]
RESEARCH = {"flickr8k", "ikea", "food101", "foodmnist", "ade-rooms", "rsicd", "rooms6", "tiny"}  # terms: research, or none for what they took


def read(folder):
    """-> (set, bytes, label, extra) of every picture; tiny-imagenet's shards are the sets "tiny" and "tiny-val"."""
    for index in sorted(pathlib.Path(folder).rglob("*.json")):
        blob = index.with_suffix(".bin")
        if not blob.exists() or index.name.startswith("clips"):
            continue
        name = index.stem
        name = "tiny-val" if name == "tiny-imagenet-val" else "tiny" if name.startswith("tiny") else name.removesuffix("-0")
        data = blob.read_bytes()
        for offset, length, label, *extra in json.loads(index.read_text())["entries_list"]:
            yield name, data[offset : offset + length], label, (extra[0] if extra else {})


def decoded(picture):
    """-> bytes [SIDE, SIDE, 3], width / height, difference hash (Krawetz 2013) of 64 bits"""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    small = np.asarray(image.convert("L").resize((9, 8), Image.LANCZOS), np.int16)
    bits = np.packbits((small[:, 1:] > small[:, :-1]).flatten()).view(">u8")[0]
    return np.asarray(image.resize((SIDE, SIDE), Image.BICUBIC)), image.width / image.height, np.uint64(bits)


def label_names(table):
    """{label: {language: [names]}} of onespace-mini's photo-names.txt."""
    names = {}
    for line in pathlib.Path(table).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            label, *cells = [cell.strip() for cell in line.split("|")]
            names[label] = {language: [n.strip() for n in cell.split(",")] for language, cell in zip(NAME_LANGUAGES, cells)}
    return names


def hamming_near(hashes, others, limit=NEAR):
    """Which of the hashes lie within `limit` bits of any of the others."""
    near = np.zeros(len(hashes), bool)
    for k in range(0, len(hashes), 256):
        part = np.bitwise_count(hashes[k : k + 256, None] ^ others[None])
        near[k : k + 256] = (part <= limit).any(1)
    return near


class Packs:
    """All photos: `pixels` [N, SIDE, SIDE, 3], `sets`, `labels`, `extras`, `aspects`, `test` (bool) and `train` (numbers)."""

    def __init__(self, folder, workers, limit=None, research=True):
        rows = list(read(folder))
        if limit:
            rows = [r for k, r in enumerate(rows) if k % limit == 0]
        if not research:
            rows = [r for r in rows if r[0] not in RESEARCH or r[3].get("split") == "test"]
        with ProcessPoolExecutor(workers) as pool:
            made = list(pool.map(decoded, [r[1] for r in rows], chunksize=64))
        self.pixels = np.stack([m[0] for m in made])
        self.aspects = np.array([m[1] for m in made], np.float32)
        hashes = np.array([m[2] for m in made], np.uint64)
        self.sets = np.array([r[0] for r in rows])
        self.labels = [r[2] for r in rows]
        self.extras = [r[3] for r in rows]
        self.test = np.array([r[0] == "tiny-val" or r[3].get("split") == "test" for r in rows])
        turn = {}
        for k, (name, _, label, _) in enumerate(rows):
            if name == "caltech101":
                turn[label] = turn.get(label, -1) + 1
                self.test[k] = turn[label] % 5 == 0
        near = hamming_near(hashes, hashes[self.test]) & ~self.test
        self.left_out = int(near.sum())
        self.train = np.flatnonzero(~self.test & ~near)
        for k in np.flatnonzero(self.sets == "flickr8k"):
            if self.extras[k].get("squashed"):
                self.aspects[k] = np.nan  # not known
