"""A dictionary (WordNet's nouns): words that mean the same, and what they mean.

Words meet words in it and are never said of a picture: what it teaches reaches
a picture only through the words the two have in common.
"""

import json
import re
import zlib

from captions import CONCEPTS, DATA, articles

NEAR = 0.7  # share of the senses drawn that have to do with our concepts


def is_told(word):
    """Half of the words that are never said of a picture stand in the dictionary all the same; the others stand nowhere."""
    return zlib.crc32(f"dictionary:{word}".encode()) % 2 == 0


class Dictionary:
    def __init__(self, unsaid=()):
        """unsaid: words never said of a photo; those never said of a drawing are known."""
        unsaid = {word.lower() for word in unsaid} | {word for c in CONCEPTS for word in c["synonyms"]["unseen"]}
        self.untold = {word for word in unsaid if not is_told(word)}
        mentions = re.compile(r"\b(" + "|".join(map(re.escape, sorted(self.untold))) + r")\b", re.IGNORECASE)
        self.near, self.others = [], []
        for sense in json.loads((DATA / "dictionary.json").read_text(encoding="utf-8")):
            words = [word for word in sense["words"] if not mentions.search(word)]
            meanings = [text for text in sense["kinds"] + [sense["gloss"]] if not mentions.search(text)]
            if words and (meanings or len(words) > 1):
                (self.near if sense["near"] else self.others).append((words, meanings))

    def draw(self, count, rng):
        """-> words, as many other words or explanations of the same things, and how many of these are words: they come first"""
        near = round(count * NEAR)
        chosen = rng.sample(self.near, near) + rng.sample(self.others, count - near)
        pairs = sorted((self._pair(words, meanings, rng) for words, meanings in chosen), key=lambda pair: pair[2])
        same = sum(not explained for *_, explained in pairs)
        return [word for word, *_ in pairs], [meaning for _, meaning, _ in pairs], same

    def _pair(self, words, meanings, rng):
        """A word, another word more often than an explanation, where there is one, and whether it is an explanation."""
        explained = len(words) < 2 or (bool(meanings) and rng.random() < 0.3)
        word, meaning = (rng.choice(words), rng.choice(meanings)) if explained else rng.sample(words, 2)
        return articles(f"a {word}") if rng.random() < 0.2 else word, meaning, explained
