"""A dictionary (WordNet's nouns): words that mean the same, and what they mean.

Words meet words in it and are never said of a picture: what it teaches reaches
a picture only through the words the two have in common.
"""

import json
import re
import zlib

from inputs.captions import CONCEPTS, DATA, articles

# shares of the senses drawn: what our labels mean, what is a kind of these or they of it, and all others
OURS, NEAR = 0.5, 0.3
LABELS = {concept["text"]["en"][0].lower() for concept in CONCEPTS}


def is_told(word):
    """Half of the words that are never said of a picture stand in the dictionary all the same; the others stand nowhere."""
    return zlib.crc32(f"dictionary:{word}".encode()) % 2 == 0


class Dictionary:
    def __init__(self, unsaid=()):
        """unsaid: words never said of a photo; those never said of a drawing are known."""
        unsaid = {word.lower() for word in unsaid} | {word for c in CONCEPTS for word in c["synonyms"]["unseen"]}
        self.untold = {word for word in unsaid if not is_told(word)}
        mentions = re.compile(r"\b(" + "|".join(map(re.escape, sorted(self.untold))) + r")\b", re.IGNORECASE)
        self.ours, self.near, self.others = [], [], []
        for sense in json.loads((DATA / "dictionary.json").read_text(encoding="utf-8")):
            words = list(dict.fromkeys(word for word in sense["words"] if not mentions.search(word)))
            meanings = [text for text in sense["kinds"] + [sense["gloss"]] if not mentions.search(text)]
            if words and (meanings or len(words) > 1):
                is_ours = any(word in LABELS for word in words)
                (self.ours if is_ours else self.near if sense["near"] else self.others).append((words, meanings))

    def draw(self, count, rng):
        """-> words, as many other words or explanations of the same things, and how many of these are words: they come first"""
        ours, near = round(count * OURS), round(count * NEAR)
        chosen = rng.sample(self.ours, ours) + rng.sample(self.near, near) + rng.sample(self.others, count - ours - near)
        pairs = sorted((self._pair(words, meanings, rng) for words, meanings in chosen), key=lambda pair: pair[2])
        same = sum(not explained for *_, explained in pairs)
        return [word for word, *_ in pairs], [meaning for _, meaning, _ in pairs], same

    def _pair(self, words, meanings, rng):
        """A word; more often than an explanation another word, where there is one, which is a label of ours if one of the two is;
        and whether it is an explanation."""
        explained = len(words) < 2 or (bool(meanings) and rng.random() < 0.2)
        if explained:
            word, meaning = rng.choice(words), rng.choice(meanings)
        else:
            meaning = rng.choice([word for word in words if word in LABELS] or words)
            word = rng.choice([word for word in words if word != meaning])
        return articles(f"a {word}") if rng.random() < 0.2 else word, meaning, explained
