"""Gives English words that stand in no caption tokens of their own, behind those of learn.py.

    python3 tokenizer/add_words.py        (needs the words of the photographs)

In the pieces that captions are made of, "mariachi" is four syllables without a
meaning; as one token it has a vector, which can be learnt. Words that captions
are made of keep their encoding.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from inputs.captions import CONCEPTS, DATA
from inputs.dictionary import Dictionary
from model import VOCABULARY
from inputs.neighbours import Neighbours
from inputs.photos import NAMES, Words
from tokenizer.encoder import SPACE, pieces
from tokenizer.learn import SIZE


def said():
    """Every piece that the names of drawings and photos have."""
    texts = [text for c in CONCEPTS for texts in [*c["text"].values(), c["synonyms"]["train"]] for text in texts]
    texts += [(NAMES / file).read_text(encoding="utf-8") for file in ("photo-names.txt", "photo-kinds.txt")]
    return {piece for text in texts for piece in pieces(text)}


def all_neighbours():
    """All words that may be told, with those that training leaves to the dictionary."""
    photos = Words(json.loads((DATA / "photos.json").read_text())["synsets"])
    return Neighbours(Dictionary(photos.unseen_synonyms).untold, photos.classes)


def new_words(known):
    """English words that have near names, most frequent first."""
    taken = said() | known
    return [SPACE + word for word in all_neighbours().words if SPACE + word not in taken]


if __name__ == "__main__":
    path = pathlib.Path(__file__).resolve().parents[2] / "tokenizer.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    model = description["model"]
    tokens = [token for token, i in model["vocab"].items() if i < SIZE]
    words = new_words(set(tokens))
    tokens += words[: VOCABULARY - SIZE]
    model["vocab"] = {token: i for i, token in enumerate(tokens)}
    path.write_text(json.dumps(description, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    print(f"{len(tokens)} tokens; {len(words)} words had near names")
