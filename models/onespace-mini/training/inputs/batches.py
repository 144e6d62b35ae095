"""One training step's worth of pictures, clips and words.

The core of a batch is `entries`: things with a concept and perhaps a colour,
each shown in two drawings and named in one or two captions, all of which belong
together. Every second step adds clips; the steps between add composed scenes
and mixed input (a picture and words).
"""

import random

import torch
import torch.nn.functional as F

from inputs import captions
from inputs.captions import CONCEPTS, MOTIONS, RELATIONS
from inputs.dictionary import Dictionary
from inputs.drawings import may_be_mirrored, share
from hardware import DEVICE
from inputs.motions import animations, moving_pictures, random_times, sequences, turning_pictures
from inputs.neighbours import Neighbours
from inputs.photos import panning_pictures, photo_pictures
from inputs.pictures import drop_patches, positions, still_pictures
from inputs.scenes import colour_rows, scene_pictures

LONGEST = 24  # tokens of a caption in training
MOST_PATCHES = 20  # of a still: larger grids lose the rest at random
LATE = 0.8  # share of the training time after which pictures are larger and whole
MONOCHROME = {"fluent-emoji-high-contrast", "emojione-monotone"}

# (rows, columns) of a still and how often, early and late in training
EARLY_GRIDS = {(3, 3): 4, (4, 4): 6, (3, 4): 1, (4, 3): 1}
LATE_GRIDS = {(3, 3): 1, (4, 4): 7, (5, 5): 1, (6, 6): 0.5, (3, 4): 0.5, (4, 3): 0.5, (4, 6): 0.5, (6, 4): 0.5}
CLIP_GRIDS = {(4, 4): 6, (3, 3): 2, (3, 4): 1, (4, 3): 1}
PHOTO_GRIDS = {(4, 4): 8, (3, 4): 1, (4, 3): 1}
PHOTO_PATCHES = 12  # of a photo, until late

REPEATED = 0.2  # share of the turning drawings that repeat an earlier lesson


def pick(weights, rng):
    return rng.choices(list(weights), weights.values())[0]


class Batches:
    def __init__(self, data, album, tokenizer, seed, entries=160, coloured=24, animated=16, moved=14, turning=14, photographed=104, explained=128, compared=192):
        """entries per step, of which `coloured` are tinted; clips per second step: `animated`
        by vendors, and `moved` pairs of opposite motions of our own; `turning` pairs of drawings
        that turn; `photographed` classes, two photos each, where there is an album; `explained`
        words of the dictionary, and `compared` words with as many names."""
        self.data, self.album, self.tokenizer = data, album, tokenizer
        self.photographed, self.explained, self.compared = photographed, explained, compared
        self.dictionary = Dictionary(album.words.unseen_synonyms if album else ())
        defined = {word for words, _ in self.dictionary.ours for word in words}  # there, and more exactly
        self.neighbours = Neighbours(self.dictionary.untold | defined, album.words.classes if album else ())
        self.entries, self.coloured, self.animated, self.moved, self.turning = entries, coloured, animated, moved, turning
        self.rng = random.Random(seed)
        self.deck = []  # concepts still to be dealt in this round
        concepts = sorted(data.train.of)
        self.concepts = concepts
        self.families = {}  # concepts of one subgroup look and mean alike: hard negatives
        for c in concepts:
            self.families.setdefault(CONCEPTS[c]["subgroup"], []).append(c)
        self.mirrored = {c for c in concepts if may_be_mirrored(c)}
        self.clip_concepts = sorted(data.clips.of)
        self.movable = [c for c in concepts if share(c, "motion") >= 10]  # the rest: motions of unseen things

    # -- drawing the concepts ------------------------------------------------

    def deal(self, count):
        """Concepts in rounds: each comes once before any comes twice."""
        if len(self.deck) < count:
            self.deck = self.rng.sample(self.concepts, len(self.concepts))
        dealt, self.deck = self.deck[:count], self.deck[count:]
        return dealt

    def choose_concepts(self, progress):
        """Animated ones first, then whole families of look-alikes (later on), then the deck."""
        chosen = dict.fromkeys(self.rng.sample(self.clip_concepts, self.animated))
        if progress > 0.4:
            while len(chosen) < self.entries * 0.3:
                family = self.families[self.rng.choices(list(self.families), map(len, self.families.values()))[0]]
                chosen.update(dict.fromkeys(self.rng.sample(family, min(len(family), 20))))
        while len(chosen) < self.entries - self.coloured // 2:
            chosen.update(dict.fromkeys(self.deal(1)))
        return list(chosen)[: self.entries - self.coloured // 2]

    def draw(self, drawings):
        """One of a concept's drawings; those without colours a third as often as the others."""
        chosen = self.rng.choice(drawings)
        if self.data.train.vendor[chosen] in MONOCHROME and self.rng.random() < 0.67:
            chosen = self.rng.choice(drawings)
        return chosen

    def pixels(self, drawings):
        """Bytes [n, S, S, 4]; of those that may be, every second is mirrored."""
        pixels = self.data.train.pixels[torch.tensor(drawings, device=DEVICE)]
        chosen = [k for k, d in enumerate(drawings) if int(self.data.train.concept[d]) in self.mirrored and self.rng.random() < 0.5]
        pixels[chosen] = pixels[chosen].flip(2)
        return pixels

    def choose_entries(self, progress):
        """[(concept, colour or None)]; the last ones come as pairs of the same thing in two colours."""
        concepts = self.choose_concepts(progress)
        plain = len(concepts) - self.coloured // 2
        entries = [(c, None) for c in concepts[:plain]]
        for c in concepts[plain:]:
            entries += [(c, colour) for colour in self.rng.sample(list(captions.COLOURS), 2)]
        return entries

    # -- words ---------------------------------------------------------------

    def name(self, entry, drawings):
        """A caption of an entry; the colour is said where we tinted, or both drawings have it by nature."""
        concept, colour = entry
        natural = {self.data.train.colour[k] for k in drawings}
        if colour is None and len(natural) == 1 and None not in natural and self.rng.random() < 0.12:
            colour = natural.pop()
        if colour:
            language = self.rng.choices(["en", "zh", "ja", "ko"], [5, 4, 0.5, 0.5])[0]
            return captions.coloured(concept, colour, language, self.rng)
        return captions.caption(concept, self.rng)

    def english_or_chinese(self):
        """The languages that have phrases for motions, arrangements and mixed input."""
        return "en" if self.rng.random() < 0.6 else "zh"

    def tokens(self, texts):
        """[n, longest] with padding 0."""
        rows = [self.tokenizer.encode(t)[:LONGEST] for t in texts]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for row, encoded in zip(ids, rows):
            row[: len(encoded)] = torch.tensor(encoded)
        return ids.to(DEVICE)

    # -- the parts of a step ---------------------------------------------------

    def step(self, number, progress, lesson):
        """{name: tensors}; progress 0..1 steers the curriculum, lesson 0..1 how hard turning is to see."""
        strength = min(0.6, progress * 1.2)
        keep = 0.65 if progress < LATE else 1.0
        entries = self.choose_entries(progress)
        of = self.data.train.of
        first = [self.draw(of[c]) for c, _ in entries]
        second = [self.draw([k for k in of[c] if k != a] or [a]) for (c, _), a in zip(entries, first)]
        rows, columns = pick(EARLY_GRIDS if progress < LATE else LATE_GRIDS, self.rng)
        colours = colour_rows([colour for _, colour in entries] * 2, DEVICE)
        drawn = self.pixels(first + second)
        place = positions(rows, columns, [0.0], DEVICE)
        batch = {"entries": entries}
        # every second step names each entry twice, so that words meet words; the others save the time
        batch["captions"] = 2 if number % 2 == 0 else 1
        texts = [self.name(e, pair) for _ in range(batch["captions"]) for e, *pair in zip(entries, first, second)]
        patches = still_pictures(drawn, rows, columns, strength, colours)
        batch["stills"] = drop_patches(patches, place, min(MOST_PATCHES, max(6, int(rows * columns * keep))))
        if number % 2 == 0:
            self.add_clips(batch, texts, entries, first, progress)
        else:
            self.add_scenes(batch, texts, progress)
            self.add_mixed(batch, entries, drawn[: len(entries)], strength)
        batch["words"] = len(texts)  # what follows names photos
        if self.album:
            self.add_photos(batch, texts, number, progress)
        batch["photo_words"] = len(texts)  # what follows is the dictionary's
        words, meanings, batch["synonyms"] = self.dictionary.draw(self.explained, self.rng)
        texts += words + meanings
        batch["told"] = len(texts)  # what follows is words, and names they lie near to
        words, names, shares = self.neighbours.draw(self.compared, self.rng)
        texts += words + names
        batch["shares"] = shares.to(DEVICE)
        batch["compared"] = len(texts)  # what follows says which way something turns
        self.add_turning(batch, texts, lesson)
        batch["texts"] = self.tokens(texts)
        return batch

    def add_clips(self, batch, texts, entries, first, progress):
        """Vendors' animations of the first entries, then pairs of opposite motions."""
        frames = self.rng.randint(4, 8)
        rows, columns = pick(CLIP_GRIDS, self.rng)
        keep = 72 if progress < LATE else 96
        chosen = [self.data.clips.of[c] for c, _ in entries[: self.animated]]
        clips, clip_places = animations(self.data.clips, chosen, frames, rows, columns, self.rng)

        swaps = 5  # of the pairs are "A then B" against "B then A"
        candidates = [k for k in range(self.animated, len(entries)) if share(entries[k][0], "motion") >= 10]
        moved = self.rng.sample(candidates, self.moved - swaps)
        pixels = torch.cat([self.pixels([first[k] for k in moved])] * 2)
        motion = torch.tensor(self.rng.choices(range(len(MOTIONS)), k=len(moved)), device=DEVICE)
        motion = torch.cat([motion, motion ^ 1])
        colours = colour_rows([entries[k][1] for k in moved] * 2, DEVICE)
        travelling = moving_pictures(pixels, motion, frames, rows, columns, colours)

        a, b = ([first[k] for k in self.rng.sample(candidates, swaps)] for _ in range(2))
        a_pixels, b_pixels = self.pixels(a), self.pixels(b)
        ordered = sequences(torch.cat([a_pixels, b_pixels]), torch.cat([b_pixels, a_pixels]), frames, rows, columns)

        own = torch.cat([travelling[: len(moved)], ordered[:swaps], travelling[len(moved) :], ordered[swaps:]])
        own_places = torch.stack([positions(rows, columns, random_times(frames, self.rng), DEVICE) for _ in range(self.moved)] * 2)
        batch["clips"] = drop_patches(torch.cat([clips, own]), torch.cat([clip_places, own_places]), keep)
        batch["moved_entries"] = moved  # which entries the first len(moved) of each half show

        concept = self.data.train.concept
        phrases = [[], []]
        for k, m in zip(moved, motion[: len(moved)].tolist()):
            language = self.english_or_chinese()
            for half in (0, 1):
                phrases[half].append(captions.moving(entries[k][0], MOTIONS[m ^ half], language, self.rng))
        for i, j in zip(a, b):
            language = self.english_or_chinese()
            phrases[0].append(captions.in_order(concept[i], concept[j], language, self.rng))
            phrases[1].append(captions.in_order(concept[j], concept[i], language, self.rng))
        texts += phrases[0] + phrases[1]

    def add_turning(self, batch, texts, lesson):
        """Pairs of the same drawing that turns clockwise and anticlockwise."""
        n, frames = self.turning, self.rng.randint(4, 6)
        concepts = self.rng.sample(self.movable, n)
        pixels = torch.cat([self.pixels([self.rng.choice(self.data.train.of[c]) for c in concepts])] * 2)
        direction = torch.tensor([1.0] * n + [-1.0] * n, device=DEVICE)
        lessons = torch.tensor([lesson * (self.rng.random() if self.rng.random() < REPEATED else 1) for _ in concepts] * 2, device=DEVICE)
        places = torch.stack([positions(4, 4, random_times(frames, self.rng), DEVICE) for _ in concepts] * 2)
        batch["turning"] = (turning_pictures(pixels, direction, lessons, frames, 4, 4), places)
        languages = [self.english_or_chinese() for _ in concepts]
        for way in ("clockwise", "anticlockwise"):
            texts += [captions.moving(c, way, language, self.rng) for c, language in zip(concepts, languages)]

    def add_scenes(self, batch, texts, progress, pairs=18):
        """Scenes in pairs: the same two things the other way round, or (a third of the
        pairs) with their colours exchanged."""
        rows, columns = pick({(4, 4): 4, (5, 5): 1, (4, 6): 1, (6, 4): 1}, self.rng)
        colours = [self.rng.sample(list(captions.COLOURS), 2) for _ in range(pairs)]
        things = [(self.rng.choice(self.movable), colours[k % pairs][k // pairs]) for k in range(2 * pairs)]
        drawn = [self.rng.choice(self.data.train.of[c]) for c, _ in things]
        pixels = self.pixels(drawn)
        relation = torch.tensor([self.rng.randrange(len(RELATIONS)) for _ in range(pairs)], device=DEVICE)
        recoloured = pairs // 3
        exchanged = things[:]
        for k in range(recoloured):
            exchanged[k], exchanged[pairs + k] = (things[k][0], things[pairs + k][1]), (things[pairs + k][0], things[k][1])
        mirrored = (torch.arange(pairs, device=DEVICE) >= recoloured).long()
        relation = torch.cat([relation, relation ^ mirrored])
        twice = lambda x: torch.cat([x, x])
        colours = [colour_rows([c for _, c in things[part] + exchanged[part]], DEVICE) for part in (slice(pairs), slice(pairs, None))]
        patches = scene_pictures(twice(pixels[:pairs]), twice(pixels[pairs:]), colours, relation, rows, columns)
        phrases = [[], []]
        for k in range(pairs):
            language = self.english_or_chinese()
            for half, said in enumerate((things, exchanged)):
                name = RELATIONS[int(relation[k + half * pairs])]
                phrases[half].append(captions.arranged(said[k], said[pairs + k], name, language, self.rng))
        batch["scenes"] = (patches, positions(rows, columns, [0.0], DEVICE).expand(len(patches), -1, -1))
        texts += phrases[0] + phrases[1]

    def add_mixed(self, batch, entries, drawn, strength, count=16):
        """A picture and words that together mean an entry: its uncoloured drawing and
        "red", or its picture and its name."""
        chosen = list(range(len(entries) - count // 2, len(entries))) + self.rng.sample(range(len(entries) - self.coloured), count // 2)
        words = []
        for k in chosen:
            concept, colour = entries[k]
            language = self.english_or_chinese()
            words.append(self.rng.choice(captions.COLOURS[colour][1][language]) if colour else captions.caption(concept, self.rng))
        patches = still_pictures(drawn[torch.tensor(chosen, device=DEVICE)], 4, 4, strength)
        batch["mixed"] = (self.tokens(words), patches, positions(4, 4, [0.0], DEVICE).expand(count, -1, -1), torch.tensor(chosen, device=DEVICE))

    def add_photos(self, batch, texts, number, progress, others=60, kinds=24, panned=12, frames=4):
        """Two photos of each class dealt; a caption of each class and of some others; words for kinds
        with what belongs to them; on every second step a camera that moves over some of the photos."""
        words = self.album.words
        classes, chosen = self.album.deal(self.photographed, self.rng)
        rows, columns = pick(PHOTO_GRIDS, self.rng)
        strength = min(0.6, progress * 1.2)
        patches = self.album.show(chosen, rows, columns, lambda pixels, *grid: photo_pictures(pixels, *grid, strength))
        batch["photos"] = drop_patches(patches, positions(rows, columns, [0.0], DEVICE), PHOTO_PATCHES if progress < LATE else patches.shape[1])

        dealt = set(classes)
        rest = self.rng.sample([c for c in range(len(words.classes)) if c not in dealt], others)
        asked = self.rng.sample([(key, members) for key, members in words.kinds.items() if members & dealt], kinds)
        texts += [words.caption(c, self.rng) for c in classes + rest]
        texts += [words.templated(word, language, self.rng) for (language, word), _ in asked]
        batch["named"] = len(classes) + len(rest)
        batch["kinds"] = torch.tensor([[c in members for c in classes] * 2 for _, members in asked], device=DEVICE)
        if number % 2 == 0:
            render = lambda pixels, *grid: panning_pictures(pixels, *grid, frames)
            places = torch.stack([positions(4, 4, random_times(frames, self.rng), DEVICE) for _ in range(panned)])
            batch["pans"] = (self.album.show(chosen[:panned], 4, 4, render), places)
