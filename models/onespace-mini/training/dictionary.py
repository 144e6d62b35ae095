"""A dictionary (WordNet's nouns): words that mean the same, and what they mean.

Words meet words in it, never pictures: what it teaches reaches a picture only
through the words the two have in common.
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
        untold = {word for word in unsaid if not is_told(word)}
        mentions = re.compile(r"\b(" + "|".join(map(re.escape, sorted(untold))) + r")\b", re.IGNORECASE)
        self.near, self.others = [], []
        for sense in json.loads((DATA / "dictionary.json").read_text(encoding="utf-8")):
            words = [word for word in sense["words"] if not mentions.search(word)]
            meanings = [text for text in sense["kinds"] + [sense["gloss"]] if not mentions.search(text)]
            if words and (meanings or len(words) > 1):
                (self.near if sense["near"] else self.others).append((words, meanings))

    def draw(self, count, rng):
        """-> words, and as many other words or explanations of the same things"""
        near = round(count * NEAR)
        chosen = rng.sample(self.near, near) + rng.sample(self.others, count - near)
        pairs = [self._pair(words, meanings, rng) for words, meanings in chosen]
        return [word for word, _ in pairs], [meaning for _, meaning in pairs]

    def _pair(self, words, meanings, rng):
        """Another word more often than an explanation, where there is one."""
        if len(words) > 1 and (not meanings or rng.random() < 0.7):
            word, meaning = rng.sample(words, 2)
        else:
            word, meaning = rng.choice(words), rng.choice(meanings)
        return articles(f"a {word}") if rng.random() < 0.2 else word, meaning
