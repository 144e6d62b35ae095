"""Words that are used alike, by GloVe's vectors of English words.

As in the dictionary, words meet words here and are never said of a picture:
most words of English have no drawing of ours, but each can be told which of our
names it is near to, and how near. The vectors are GloVe's.
"""

import json
import re

import numpy as np
import torch

from inputs.captions import CONCEPTS, DATA

COMMON = 45_000  # English words, most frequent first, that are told what they are near to
NEAR = 0.55  # cosine to the nearest name from which on a word is worth telling
SHARPNESS = 20.0  # of a word's shares in the names; a cosine of 0.1 more makes a share e^2 times as large
NEAREST = 12  # names of a word, one of which stands in its batch for sure, mostly the nearest


class Vectors:
    """Unit vectors of words and short phrases."""

    def __init__(self):
        words = json.loads((DATA / "word-vectors.json").read_text(encoding="utf-8"))
        vectors = np.fromfile(DATA / "word-vectors.f32", dtype=np.float32).reshape(len(words), -1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.table = vectors - vectors[:20_000].mean(0)  # what all words have in common tells nothing
        self.rows = {word: k for k, word in enumerate(words)}
        # rare words say most about a phrase
        self.weights = np.log(np.arange(len(words)) + 10, dtype=np.float32)

    def of(self, phrase):
        """[100], or None where a word is unknown"""
        rows = [self.rows.get(word) for word in re.findall(r"[a-z]+", phrase.lower()) if len(word) > 2]
        if not rows or None in rows:
            return None
        vector = (self.table[rows] * self.weights[rows, None]).sum(0)
        return vector / np.linalg.norm(vector)

    def known(self, phrases):
        """-> those of the phrases that have a vector, [n, 100]"""
        found = [(phrase, vector) for phrase in phrases if (vector := self.of(phrase)) is not None]
        return [phrase for phrase, _ in found], np.stack([vector for _, vector in found])


def shares(word_vectors, name_vectors):
    """How much of each word's meaning lies with each name: [n, 100], [m, 100] -> [n, m], rows sum to 1"""
    return (SHARPNESS * torch.from_numpy(word_vectors @ name_vectors.T)).softmax(1)


class Neighbours:
    def __init__(self, others, names=()):
        """others: words that are not to be compared; names: of photos, beside those of drawings."""
        vectors = Vectors()
        said = {text.lower() for c in CONCEPTS for text in c["text"]["en"] + c["synonyms"]["train"]} | {name.lower() for name in names}
        self.names, self.name_vectors = vectors.known(sorted(said))
        words, word_vectors = vectors.known([word for word, rank in vectors.rows.items() if rank < COMMON and word not in said and word not in others])
        alike = word_vectors @ self.name_vectors.T
        near = alike.max(1) > NEAR
        self.words = [word for word, is_near in zip(words, near) if is_near]
        self.word_vectors = word_vectors[near]
        self.nearest = np.argpartition(-alike[near], NEAREST, axis=1)[:, :NEAREST]
        self.chances = np.exp(SHARPNESS * np.take_along_axis(alike[near], self.nearest, axis=1))

    def draw(self, count, rng):
        """-> `count` words, `count` names, and how much of each word's meaning lies with each of them, [count, count]"""
        chosen = rng.sample(range(len(self.words)), count)
        names = {int(rng.choices(self.nearest[k], self.chances[k])[0]): None for k in chosen}
        while len(names) < count:
            names[rng.randrange(len(self.names))] = None
        names = list(names)
        wanted = shares(self.word_vectors[chosen], self.name_vectors[names])
        return [self.words[k] for k in chosen], [self.names[k] for k in names], wanted
