"""Measures the model on what it never saw and writes EVALUATION.md.

    python3 -m evaluation.evaluate                     the weights as shipped (int8)
    python3 -m evaluation.evaluate --quick             the headline numbers alone, printed

Everything random is drawn from one seed. Every number stands beside the count it
comes from; whatever was not measured is left out.
"""

import argparse
import os
import pathlib
import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from inputs import captions
from inputs.captions import CONCEPTS, MOTIONS, RELATIONS, label
from inputs.dictionary import is_told
from inputs.drawings import Collection, share
from evaluation.evaluate_photos import PHOTO_SECTIONS, PhotoGallery
from export import HERE, MODEL, SMALLEST, load_model, quantised
from hardware import DEVICE
from inputs.motions import moving_pictures, sequences
from inputs.pictures import over, patchify, plain_pictures, positions, premultiplied, tint
from inputs.photos import Album
from inputs.scenes import colour_rows, scene_pictures
from evaluation.tables import numbers, read_tables, table
from tokenizer.encoder import Tokenizer

SEED = 7
IMAGE_SIDE = 64
THINGS = 48  # shown in the tests of motion, order, arrangement and mixed input, per style
LANGUAGES = ["en", "zh", "ja", "de", "fr", "es", "ko", "pt", "it", "ru"]


def as_shipped(model):
    """The model with its large weights rounded to int8, exactly as export.py stores them."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)) and module.weight.numel() >= SMALLEST:
                packed, scale = quantised(module.weight.numpy(), 0)
                module.weight.copy_(torch.from_numpy(packed.astype(np.float32) * scale[:, None]))
    return model


class Encoder:
    """Texts, stills and clips to vectors, in batches."""

    def __init__(self, model):
        self.model = model.to(DEVICE).eval()
        self.tokenizer = Tokenizer(MODEL / "tokenizer.json")
        self.galleries = {}  # several sections ask for the same pictures

    def texts(self, texts):
        rows = [torch.tensor(self.tokenizer.encode(t)[:64]) for t in texts]
        padded = lambda part: nn.utils.rnn.pad_sequence(part, batch_first=True).to(DEVICE)
        return torch.cat([self.model.text(padded(rows[k : k + 128])) for k in range(0, len(rows), 128)])

    def patches(self, patches, places, size=64):
        """patches [n, L, 768]; places [L, 3] or [n, L, 3]"""
        places = places.expand(len(patches), -1, -1)
        return torch.cat([self.model.pixels(patches[k : k + size], places[k : k + size]) for k in range(0, len(patches), size)])

    def stills(self, pixels, side=IMAGE_SIDE):
        key = (pixels.data_ptr(), len(pixels), side)
        if key not in self.galleries:
            places = positions(side // 16, side // 16, [0.0], DEVICE)
            self.galleries[key] = torch.cat([self.patches(plain_pictures(part, side), places) for part in pixels.split(256)])
        return self.galleries[key]

    def clips(self, clips, frames=range(8), still=False):
        """Animations on white at 64 px; `still` gives a single frame as a picture."""
        vectors = []
        for part in range(0, len(clips), 32):
            x = premultiplied(clips.pixels[part : part + 32][:, list(frames)])
            patches = patchify(over(x, torch.ones_like(x[:, :3]))).reshape(-1, len(frames) * 16, 768)
            times = [[0.0] if still else [float(s) * f / 8 for f in frames] for s in clips.seconds[part : part + 32]]
            vectors.append(self.model.pixels(patches, torch.stack([positions(4, 4, t, DEVICE) for t in times])))
        return torch.cat(vectors)


def recall(queries, gallery, wanted, owners, ks=(1, 5, 10)):
    """Share of queries (in %) with a right one among the first k; wanted and owners are concepts,
    or wanted a list of sets of concepts."""
    best = (queries @ gallery.t()).topk(min(max(ks), len(gallery)), dim=1).indices.cpu().numpy()
    wanted = [w if isinstance(w, set) else {int(w)} for w in wanted]
    found = np.array([[int(owners[j]) in right for j in row] for row, right in zip(best, wanted)])
    return [100 * found[:, :k].any(1).mean() for k in ks]


# -- sections: each returns its title, an explanation and a table --------------


def unseen_styles(encoder, data):
    rows = []
    for vendor, languages in (("openmoji", LANGUAGES), ("emojione-v1", ["en", "zh"]), ("streamline-emojis", ["en", "zh"])):
        drawings = data.unseen[vendor]
        gallery = encoder.stills(drawings.pixels)
        for language in languages:
            queries = encoder.texts([label(c, language) for c in drawings.concept])
            rows.append([f"{language} label -> {vendor}", len(drawings), *numbers(recall(queries, gallery, drawings.concept, drawings.concept))])
            if language == "en":
                rows.append([f"{vendor} -> en label", len(drawings), *numbers(recall(gallery, queries, drawings.concept, drawings.concept))])
    noto = data.seen["noto"]
    gallery = encoder.stills(noto.pixels)
    for language in ("en", "zh"):
        queries = encoder.texts([label(c, language) for c in noto.concept])
        rows.append([f"{language} label -> noto (a style it was trained on)", len(noto), *numbers(recall(queries, gallery, noto.concept, noto.concept))])
    openmoji = data.unseen["openmoji"]
    known = np.isin(openmoji.concept, noto.concept)
    queries = encoder.stills(openmoji.pixels[torch.from_numpy(known)])
    rows.append(["openmoji -> noto, picture to picture", int(known.sum()), *numbers(recall(queries, gallery, openmoji.concept[known], noto.concept))])
    note = "Whole vendors the model never saw. The gallery is the vendor's drawings, one per concept; only the drawing of exactly that concept counts as right."
    return "Pictures in a style never seen", note, table(["query -> gallery", "queries", "R@1", "R@5", "R@10"], rows)


def unseen_clips(encoder, data):
    both = [data.unseen_clips, data.clips]
    owners = np.concatenate([c.concept for c in both])
    gallery = torch.cat([encoder.clips(c) for c in both])
    first = torch.cat([encoder.clips(c, [0], still=True) for c in both])
    rows = []
    for language in ("en", "zh"):
        queries = encoder.texts([label(c, language) for c in data.unseen_clips.concept])
        for name, vectors in (("clip", gallery), ("its first frame alone", first)):
            rows.append([f"{language} label -> {name}", len(queries), len(owners), *numbers(recall(queries, vectors, data.unseen_clips.concept, owners))])
    note = "Animations of concepts whose animation was never trained on, among all that move. The first frame alone does about as well where what happens adds nothing to what is shown."
    return "Clips never seen", note, table(["query -> gallery", "queries", "gallery", "R@1", "R@5", "R@10"], rows)


def unseen_things(data):
    """Concepts never shown in a motion or a scene, drawn by noto (seen style) and openmoji (unseen style)."""
    things = {}
    for name, drawings in (("noto", data.seen["noto"]), ("openmoji", data.unseen["openmoji"])):
        chosen = [k for k, c in enumerate(drawings.concept) if share(c, "motion") < 10 and CONCEPTS[c]["group"] != 9]
        chosen = sorted(random.Random(SEED).sample(chosen, min(THINGS, len(chosen))))
        things[name] = (drawings.pixels[chosen], [int(drawings.concept[k]) for k in chosen])
    return things


def first_phrase(phrases, *names):
    return captions.articles(phrases[0].format(*names))


def prefer(vectors, right, wrong):
    """Percent that are nearer to the right words than to the wrong ones, row by row."""
    return 100 * float(((vectors * right).sum(1) > (vectors * wrong).sum(1)).float().mean())


def with_controls(encoder, patches, places, frames):
    """Vectors of clips, patches [n, frames * 16, 768]; of the same with their frames reversed; and of their first frames alone."""
    each = patches.reshape(len(patches), frames, 16, 768)
    return {
        "": encoder.patches(patches, places),
        ", frames reversed": encoder.patches(each.flip(1).reshape(patches.shape), places),
        ", first frame alone": encoder.patches(each[:, 0], positions(4, 4, [0.0], DEVICE)),
    }


def opposite_motions(encoder, data, frames=8, seconds=3.0):
    rows = []
    times = [seconds * k / frames for k in range(frames)]
    places = positions(4, 4, times, DEVICE)
    for style, (pixels, concepts) in unseen_things(data).items():
        clips = []
        for m in range(len(MOTIONS)):
            torch.manual_seed(SEED + m)
            patches = moving_pictures(pixels, torch.full((len(pixels),), m, device=DEVICE), frames, 4, 4, plain=1.0)
            clips.append(with_controls(encoder, patches, places, frames))
        for language in ("en", "zh"):
            words = [encoder.texts([first_phrase(captions.MOTION_PHRASES[language][m], label(c, language)) for c in concepts]) for m in MOTIONS]
            for shown in clips[0]:
                row = [prefer(clips[m][shown], words[m], words[m ^ 1]) for m in range(len(MOTIONS))]
                rows.append([f"{style}, {language}{shown}", len(concepts), *numbers(row), f"{np.mean(row):.1f}"])
    note = "Does the clip prefer its own caption to the opposite one (chance 50)? Things never shown moving in training. With the frames reversed the opposite caption should win, so a low number there shows that order is what is read. The first frame tells some by itself: what will move left begins on the right, what will shrink is large."
    return "Opposite motions", note, table(["drawings, language", "clips each", *MOTIONS, "mean"], rows)


def order_of_two(encoder, data, frames=8, seconds=3.0):
    rows = []
    places = positions(4, 4, [seconds * k / frames for k in range(frames)], DEVICE)
    for style, (pixels, concepts) in unseen_things(data).items():
        rng = random.Random(SEED)
        torch.manual_seed(SEED)
        order = rng.sample(range(len(concepts)), len(concepts))
        a, b = list(range(len(concepts))), [order[(order.index(k) + 1) % len(order)] for k in range(len(concepts))]
        clips = with_controls(encoder, sequences(pixels[a], pixels[b], frames, 4, 4, plain=1.0), places, frames)
        for language in ("en", "zh"):
            said = lambda x, y: encoder.texts([first_phrase(captions.SEQUENCE_PHRASES[language], label(concepts[i], language), label(concepts[j], language)) for i, j in zip(x, y)])
            right, wrong = said(a, b), said(b, a)
            rows += [[f"{style}, {language}{shown}", len(a), f"{prefer(vectors, right, wrong):.1f}"] for shown, vectors in clips.items()]
    return "A, then B", "One drawing after another: is \"A then B\" preferred to \"B then A\" (chance 50)? The first frame is A alone, which says a lot.", table(["drawings, language", "clips", "right"], rows)


def composed_scenes(encoder, data, count=200):
    rows = []
    for style, (pixels, concepts) in unseen_things(data).items():
        rng = random.Random(SEED)
        torch.manual_seed(SEED)
        names = list(captions.COLOURS)
        scenes = []
        for _ in range(count):
            a, b = rng.sample(range(len(concepts)), 2)
            scenes.append((a, b, *rng.sample(names, 2), rng.randrange(len(RELATIONS))))
        a, b, first, second, relation = zip(*scenes)
        colours = colour_rows(first, DEVICE), colour_rows(second, DEVICE)
        patches = scene_pictures(pixels[list(a)], pixels[list(b)], colours, torch.tensor(relation, device=DEVICE), 4, 4, plain=1.0)
        vectors = encoder.patches(patches, positions(4, 4, [0.0], DEVICE))
        for language in ("en", "zh"):
            rng = random.Random(SEED)
            choices = []
            for i, j, x, y, r in scenes:
                other = lambda *taken: rng.choice([n for n in names if n not in taken])
                thing = lambda: rng.choice([k for k in range(len(concepts)) if k not in (i, j)])
                variants = [(i, j, x, y, r), (i, j, x, y, r ^ 1), (j, i, y, x, r), (i, j, y, x, r), (i, j, other(x, y), y, r), (i, j, x, other(x, y), r), (thing(), j, x, y, r), (i, thing(), x, y, r)]
                choices += [captions.arranged((concepts[p], u), (concepts[q], v), RELATIONS[k], language, random.Random(0)) for p, q, u, v, k in variants]
            scores = torch.einsum("nd,nkd->nk", vectors, encoder.texts(choices).view(count, 8, -1))
            binding = scores[:, 0] > scores[:, 3]
            layout = scores[:, 0] > scores[:, 1]
            rows.append([f"{style}, {language}", count, *numbers([100 * float(hit.float().mean()) for hit in (scores.argmax(1) == 0, layout, binding)])])
    note = "Two coloured things side by side, things never used in a scene in training. Of eight captions seven are wrong in one respect: places exchanged (two ways of saying it), colours exchanged, one colour, one thing (chance 12.5). Beside it: right caption against exchanged places, and against exchanged colours (chance 50)."
    return "Composed scenes", note, table(["drawings, language", "scenes", "right of 8", "place", "colour"], rows)


def unseen_words(encoder, data):
    wanted = {}
    for k, concept in enumerate(CONCEPTS):
        for word in concept["synonyms"]["unseen"]:
            wanted.setdefault(word, set()).add(k)
    rows = []
    for style, drawings in (("openmoji", data.unseen["openmoji"]), ("noto", data.seen["noto"])):
        shown = {w: c for w, c in wanted.items() if c & set(map(int, drawings.concept))}
        gallery = encoder.stills(drawings.pixels)
        told = {w: c for w, c in shown.items() if is_told(w)}
        untold = {w: c for w, c in shown.items() if not is_told(w)}
        for name, asked in (("unseen synonym", shown), ("of these, in the dictionary", told), ("of these, met nowhere", untold)):
            rows.append([f"{name} -> {style}", len(asked), *numbers(recall(encoder.texts(list(asked)), gallery, list(asked.values()), drawings.concept))])
    drawings = data.unseen["openmoji"]
    gallery = encoder.stills(drawings.pixels)
    for language, templates in captions.UNSEEN_TEMPLATES.items():
        for template in templates:
            queries = encoder.texts([captions.filled(template, language, label(c, language)) for c in drawings.concept])
            rows.append([f"\"{template}\" -> openmoji", len(queries), *numbers(recall(queries, gallery, drawings.concept, drawings.concept))])
    note = "English words (from WordNet) that stand in no caption of training: half of them stand in the dictionary that training reads, or among its words with neighbours, where words meet words and are never said of a picture; the others stand nowhere. Then ways of asking never used in training."
    return "Words and phrasings never seen", note, table(["query -> gallery", "queries", "R@1", "R@5", "R@10"], rows)


def mixed_input(encoder, data):
    rows = []
    names = list(captions.COLOURS)
    for style, (pixels, _) in unseen_things(data).items():
        torch.manual_seed(SEED)
        x = premultiplied(pixels)
        painted = []
        for name in names:
            y = tint(x, colour_rows([name] * len(x), DEVICE))
            y = F.interpolate(y, size=(64, 64), mode="bilinear", align_corners=False, antialias=True)
            painted.append(encoder.patches(patchify(over(y, torch.ones_like(y[:, :3]))), positions(4, 4, [0.0], DEVICE)))
        painted = torch.stack(painted, 1)  # [n, colours, D]
        patches = plain_pictures(pixels, 64)
        places = positions(4, 4, [0.0], DEVICE).expand(len(patches), -1, -1)
        ones = torch.ones(patches.shape[:2], device=DEVICE)
        alone = torch.einsum("nd,nkd->nk", encoder.patches(patches, places), painted).argmax(1)
        for language in ("en", "zh"):
            right, control = [], []
            for k, name in enumerate(names):
                ids = torch.tensor([encoder.tokenizer.encode(captions.COLOURS[name][1][language][0])], device=DEVICE).expand(len(patches), -1)
                joint = encoder.model(ids, (ids != 0).float(), patches, places, ones)
                right.append((torch.einsum("nd,nkd->nk", joint, painted).argmax(1) == k).float().mean())
                control.append((alone == k).float().mean())
            rows.append([f"{style}, {language}", len(patches) * len(names), *numbers([100 * float(torch.stack(v).mean()) for v in (right, control)])])
    note = "A picture and a colour word together must find the same thing painted in that colour, out of eleven colours. The control is the picture without the word (chance 9.1)."
    return "Mixed input: a picture and a word", note, table(["drawings, language", "queries", "right colour", "picture alone"], rows)


def across_languages(encoder, _):
    english = encoder.texts([label(c, "en") for c in range(len(CONCEPTS))])
    owners = np.arange(len(CONCEPTS))
    rows = []
    for language in LANGUAGES[1:]:
        other = encoder.texts([label(c, language) for c in owners])
        rows.append([f"{language} -> en", len(owners), *numbers(recall(other, english, owners, owners))])
    return "Text to text across languages", "Label to label. Both labels were trained on, apart from each other or together: this measures alignment, not generalisation.", table(["query -> gallery", "queries", "R@1", "R@5", "R@10"], rows)


def calibration(encoder, data):
    drawings = data.unseen["openmoji"]
    gallery = encoder.stills(drawings.pixels)
    rows = []
    for language in ("en", "zh"):
        scores = encoder.texts([label(c, language) for c in drawings.concept]) @ gallery.t()
        right = scores.diagonal()
        wrong = scores[~torch.eye(len(scores), dtype=torch.bool, device=DEVICE)]
        for name, values, share_of in (("right", right, (right > 0.7).float().mean()), ("wrong", wrong, (wrong < 0.3).float().mean())):
            quantiles = np.quantile(values.cpu().numpy(), [0.05, 0.5, 0.95])
            limit = "> 0.7" if name == "right" else "< 0.3"
            rows.append([f"{language}, {name} pairs", f"{len(values):,}", *(f"{q:.2f}" for q in quantiles), f"{100 * float(share_of):.1f} % {limit}"])
    return "Calibration", "Scores (inner products) of labels with openmoji drawings.", table(["pairs", "count", "5 %", "median", "95 %", "share"], rows)


def shorter_vectors(encoder, data):
    drawings = data.unseen["openmoji"]
    gallery = encoder.stills(drawings.pixels)
    rows = []
    for language in ("en", "zh"):
        queries = encoder.texts([label(c, language) for c in drawings.concept])
        for length in (256, 128, 64):
            cut = [F.normalize(v[:, :length], dim=-1) for v in (queries, gallery)]
            rows.append([f"{language} label -> openmoji, {length} numbers", len(queries), *numbers(recall(*cut, drawings.concept, drawings.concept))])
    return "Shorter vectors (Matryoshka)", "The first 128 or 64 numbers, made unit length again.", table(["query -> gallery", "queries", "R@1", "R@5", "R@10"], rows)


def sizes(encoder, data):
    drawings = data.unseen["openmoji"]
    queries = encoder.texts([label(c, "en") for c in drawings.concept])
    rows = []
    for side in (48, 64, 80, 96):
        rows.append([f"{side} px, {(side // 16) ** 2} patches", len(queries), *numbers(recall(queries, encoder.stills(drawings.pixels, side), drawings.concept, drawings.concept))])
    return "Size of the picture", "English label -> openmoji at several input sizes.", table(["picture", "queries", "R@1", "R@5", "R@10"], rows)


def rounding(float_encoder, encoder, data):
    drawings = data.unseen["openmoji"]
    rows = []
    for name, e in (("float32", float_encoder), ("int8, as shipped", encoder)):
        gallery = e.stills(drawings.pixels)
        for language in ("en", "zh"):
            queries = e.texts([label(c, language) for c in drawings.concept])
            rows.append([f"{name}, {language} label -> openmoji", len(queries), *numbers(recall(queries, gallery, drawings.concept, drawings.concept))])
    return "What int8 storage costs", table(["weights", "queries", "R@1", "R@5", "R@10"], rows)


# what the revision before is compared in: section, row, column
COMPARED = [
    *(("Pictures in a style never seen", f"{language} label -> openmoji", column) for language in ("en", "zh", "ja", "de", "fr", "es", "ko", "pt", "it", "ru") for column in ("R@1", "R@10")),
    *(("Clips never seen", f"{language} label -> clip", "R@10") for language in ("en", "zh")),
    *(("Opposite motions", f"{style}, {language}", "mean") for style in ("noto", "openmoji") for language in ("en", "zh")),
    *(("A, then B", f"{style}, {language}", "right") for style in ("noto", "openmoji") for language in ("en", "zh")),
    *(("Composed scenes", f"{style}, {language}", "right of 8") for style in ("noto", "openmoji") for language in ("en", "zh")),
    *(("Mixed input: a picture and a word", f"{style}, {language}", "right colour") for style in ("noto", "openmoji") for language in ("en", "zh")),
    ("Words and phrasings never seen", "unseen synonym -> openmoji", "R@10"),
    ("Words and phrasings never seen", '"show me {}" -> openmoji', "R@10"),
    ("Words and phrasings never seen", '"帮我找{}" -> openmoji', "R@10"),
    *(("Text to text across languages", f"{language} -> en", "R@1") for language in ("zh", "ja", "de", "ru")),
]


def beside_previous(before, now):
    """Headline numbers of two evaluations."""
    rows = []
    for section, row, column in COMPARED:
        old, new = (float(cells[section, row][column]) for cells in (before, now))
        rows.append([f"{section}: {row}, {column}", f"{old:.1f}", f"{new:.1f}", f"{new - old:+.1f}"])
    return "Beside the revision before", "The same questions, asked of both.", table(["number", "before", "now", "change"], rows)


SECTIONS = [unseen_styles, unseen_clips, calibration, shorter_vectors, opposite_motions, unseen_words, composed_scenes, order_of_two, mixed_input, across_languages, sizes]
QUICK = [sizes, unseen_clips, opposite_motions]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default=str(HERE / "work" / "run.pt"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--photos", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--output", default=str(MODEL / "EVALUATION.md"))
    parser.add_argument("--previous", help="the EVALUATION.md of the revision before, to compare with")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    previous = read_tables(pathlib.Path(options.previous).read_text(encoding="utf-8")) if options.previous else None
    encoder = Encoder(as_shipped(load_model(options.checkpoint)))
    state = torch.load(options.checkpoint, map_location="cpu")
    parts = [
        "# Evaluation",
        f"Written by `training/evaluation/evaluate.py`, seed {SEED}, after {state['step']:,} steps ({state['seconds'] / 60:.0f} minutes) of training; the weights are the shipped ones (int8). "
        f"R@k: share of queries, in percent, with a right answer among the first k. P@k: share of right answers among the first k. Pictures are {IMAGE_SIDE} px a side unless said otherwise.",
    ]

    def add(title, *body):
        """What is measured is kept at once."""
        parts.extend([f"## {title}", *body])
        print("\n\n".join(parts[-1 - len(body) :]), flush=True)
        if not options.quick:
            pathlib.Path(options.output).write_text("\n\n".join(parts) + "\n", encoding="utf-8")

    if options.photos:
        gallery = PhotoGallery(encoder, Album(DEVICE, training=False))
        for section in PHOTO_SECTIONS:
            add(*section(gallery))
    data = Collection()
    for section in QUICK if options.quick else SECTIONS:
        add(*section(encoder, data))
    if not options.quick:
        add(*rounding(Encoder(load_model(options.checkpoint)), encoder, data))
    if previous and not options.quick:
        add(*beside_previous(previous, read_tables("\n\n".join(parts))))


if __name__ == "__main__":
    main()
