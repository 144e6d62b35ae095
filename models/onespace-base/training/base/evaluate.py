"""How well photographs, pictograms and motions of the test splits are found; in percent."""

import json
import pathlib
import random

import numpy as np
import torch

from base.drawings import AsMini, padded
from base.model import places
from base.packs import label_names
from base.pictures import plain, shape
from inputs import captions
from inputs.captions import MOTIONS, label
from inputs.motions import moving_pictures
from inputs.pictures import plain_pictures, positions
from inputs.drawings import share

HERE = pathlib.Path(__file__).resolve().parent.parent


class Encoder:
    def __init__(self, model, tokenizer, device):
        self.model, self.tokenizer, self.device = model.eval(), tokenizer, device

    def texts(self, texts):
        rows = [e.ids[:96] for e in self.tokenizer.encode_batch(list(texts))]
        return torch.cat([self.model.text(padded(rows[k : k + 256], self.device)) for k in range(0, len(rows), 256)])

    def photos(self, pixels, aspects):
        """Each at its own proportions, as the service sees it."""
        out = torch.empty(len(pixels), 256, device=self.device)
        shapes = [shape(a) for a in aspects]
        if self.model.stem.convolutions.chunk:  # every new shape costs seconds on a GPU
            shapes = [(7, 7) if rows == columns else (6, 8) if rows < columns else (8, 6) for rows, columns in shapes]
        for kind in set(shapes):
            chosen = torch.tensor([k for k, s in enumerate(shapes) if s == kind])
            where = places(*kind, [0.0], self.device)
            for part in chosen.split(256):
                frames = plain(torch.as_tensor(pixels[part.numpy() if isinstance(pixels, np.ndarray) else part.to(self.device)], device=self.device), *kind)
                out[part.to(self.device)] = self.model.cells(self.model.stem(frames), where.expand(len(part), -1, -1))
        return out


def ranks(queries, gallery, right):
    """Place of the right one, 0 the first."""
    out = []
    for q, r in zip(queries.split(2048), right.split(2048)):
        s = q @ gallery.T
        out.append((s > s.gather(1, r[:, None])).sum(1))
    return torch.cat(out)


def recalls(rank, ks=(1, 5, 10)):
    return [round(100 * float((rank < k).float().mean()), 1) for k in ks]


def classified(vectors, names, labels, ks):
    """Share of photos whose label is among the k nearest of all names."""
    classes = sorted(set(labels))
    index = torch.tensor([classes.index(x) for x in labels], device=vectors.device)
    best = (vectors @ names(classes).T).topk(max(ks), 1).indices
    return [round(100 * float((best[:, :k] == index[:, None]).any(1).float().mean()), 1) for k in ks]


@torch.no_grad()
def evaluate(model, tokenizer, world, device, most=4000):
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        return _evaluate(model, tokenizer, world, device, most)


def _evaluate(model, tokenizer, world, device, most):
    encoder, packs, found = Encoder(model, tokenizer, device), world.packs, {}
    pick = lambda name: [k for k in range(len(packs.labels)) if packs.sets[k] == name and packs.test[k]]
    see = lambda numbers: encoder.photos(world.pixels[torch.tensor(numbers, device=device)], packs.aspects[numbers])
    table = label_names(pathlib.Path(__file__).resolve().parents[3] / "onespace-mini/training/data/photo-names.txt")
    name_of = lambda x: table[x]["en"][0] if x in table else x.replace("_", " ").replace("-", " ").lower()
    names = lambda classes: encoder.texts([name_of(c) for c in classes])

    flickr = pick("flickr8k")[:1000]
    if flickr:
        gallery = see(flickr)
        pairs = [(c, k) for k, n in enumerate(flickr) for c in packs.extras[n]["captions"]]
        queries, right = encoder.texts([c for c, _ in pairs]), torch.tensor([k for _, k in pairs], device=device)
        found["flickr8k"] = recalls(ranks(queries, gallery, right))
        s = gallery @ queries.T
        best = s.masked_fill(right[None] != torch.arange(len(gallery), device=device)[:, None], -2).amax(1, keepdim=True)
        found["flickr8k photo->caption"] = recalls((s > best).sum(1))
        said = json.loads((HERE / "work/evaluation.json").read_text())
        where = {packs.extras[n]["name"]: k for k, n in enumerate(flickr)}
        for language, rows in said.items():
            rows = [(where[name], text) for name, text in rows if name in where]
            if rows:
                found[f"flickr8k {language}"] = recalls(ranks(encoder.texts([t for _, t in rows]), gallery, torch.tensor([k for k, _ in rows], device=device)))[2]
    for name in ("coco2k", "fsa-color"):
        chosen = pick(name)
        if chosen:
            found[name] = recalls(ranks(encoder.texts([packs.extras[n]["captions"][0] for n in chosen]), see(chosen), torch.arange(len(chosen), device=device)))[2]
    for name, ks in (("tiny-val", (1, 5)), ("caltech101", (1, 5)), ("scenes6", (1,)), ("sports22", (1,)), ("sports100", (1,)), ("food101", (1, 5)), ("animals22", (1,)), ("instruments", (1,)), ("rooms6", (1,))):
        chosen = pick(name)[:most]
        if len(chosen) > 20:
            vectors = see(chosen)
            found[name] = classified(vectors, names, [packs.labels[n] for n in chosen], ks)
            if name == "caltech101":
                labels = np.array([packs.labels[n] for n in chosen])
                near = (vectors @ vectors.T).fill_diagonal_(-2).topk(10, 1).indices.cpu().numpy()
                found["caltech101 photo->photo P@10"] = round(100 * float((labels[near] == labels[:, None]).mean()), 1)
    data, as_mini = world.collection, AsMini(model, None)
    openmoji = data.unseen.get("openmoji")
    if openmoji:
        where = positions(7, 7, [0.0], device)
        gallery = torch.cat([as_mini.pixels(plain_pictures(part, 112), where) for part in openmoji.pixels.split(256)])
        for language in ("en", "zh", "de", "ja"):
            queries = encoder.texts([label(c, language) for c in openmoji.concept])
            found[f"openmoji {language}"] = recalls(ranks(queries, gallery, torch.arange(len(gallery), device=device)))[2]
        chosen = random.Random(7).sample([k for k, c in enumerate(openmoji.concept) if share(int(c), "motion") < 10 and captions.CONCEPTS[c]["group"] != 9], 48)
        pixels, concepts = openmoji.pixels[chosen], [int(openmoji.concept[k]) for k in chosen]
        where = positions(4, 4, [3.0 * k / 8 for k in range(8)], device)
        right = []
        phrase = lambda m: encoder.texts([captions.articles(captions.MOTION_PHRASES["en"][m][0].format(label(c, "en"))) for c in concepts])
        for m in range(len(MOTIONS)):
            torch.manual_seed(7 + m)
            clips = as_mini.pixels(moving_pictures(pixels, torch.full((len(pixels),), m, device=device), 8, 4, 4, plain=1.0), where)
            right.append(round(100 * float(((clips * phrase(MOTIONS[m])).sum(1) > (clips * phrase(MOTIONS[m ^ 1])).sum(1)).float().mean()), 0))
        found["motions"] = [round(float(np.mean(right)), 1), right]
    return found
