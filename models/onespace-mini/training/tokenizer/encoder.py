"""The tokeniser of the model: reads the same tokenizer.json as the JavaScript
package @huggingface/tokenizers and gives the same ids (parity.mjs proves it).

Text is NFKC-normalised and lower-cased, spaces become a leading "▁" of the word
they precede, and byte-pair merges join characters into the vocabulary's tokens
(Sennrich et al. 2016, arXiv:1508.07909); a word that is a token is not taken
apart. A character the vocabulary does not
have becomes its UTF-8 bytes, so every input has an encoding.
"""

import json
import re
import unicodedata

SPACE = "▁"
# Chinese characters and Japanese kana: written without spaces, so they carry none.
CJK = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# ASCII and common Unicode punctuation, each sign a piece of its own.
SIGNS = "!-/:-@\\[-`{-~\u00a1-\u00bf\u2010-\u205e\u3001-\u303f"
# Named by code points, not by Unicode category: every engine agrees on these.
PIECE = f"[{CJK}]+|{SPACE}?[0-9]|{SPACE}?[{SIGNS}]|{SPACE}?[^{SPACE}0-9{SIGNS}{CJK}]+|{SPACE}"

NORMALISER = [
    {"type": "NFKC"},
    {"type": "Lowercase"},
    {"type": "Replace", "pattern": {"Regex": "[ \t\r\n\u000b\f]+"}, "content": SPACE},
    {"type": "Prepend", "prepend": SPACE},
    {"type": "Replace", "pattern": {"Regex": f"{SPACE}+"}, "content": SPACE},
    {"type": "Replace", "pattern": {"Regex": f"{SPACE}(?=[{CJK}])"}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": f"{SPACE}(?![\\s\\S])"}, "content": ""},
]


def normalise(text):
    """Carries out the steps of NORMALISER."""
    for step in NORMALISER:
        if step["type"] == "NFKC":
            text = unicodedata.normalize("NFKC", text)
        elif step["type"] == "Lowercase":
            text = text.lower()
        elif step["type"] == "Prepend":
            text = step["prepend"] + text if text else text
        else:
            text = re.sub(step["pattern"]["Regex"], step["content"], text)
    return text


def pieces(text):
    """The stretches of text within which merges happen."""
    return re.findall(PIECE, normalise(text))


class Tokenizer:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            model = json.load(file)["model"]
        self.vocab = model["vocab"]
        self.ranks = {tuple(merge): rank for rank, merge in enumerate(model["merges"])}
        self.cache = {}

    def __len__(self):
        return len(self.vocab)

    def encode(self, text):
        """Token ids of a text; [] only for a text of nothing but spaces."""
        return [i for piece in pieces(text) for i in self._piece(piece)]

    def _piece(self, piece):
        if piece not in self.cache:
            self.cache[piece] = [self.vocab[piece]] if piece in self.vocab else self.parts(piece)
        return self.cache[piece]

    def parts(self, piece):
        """Ids of what a piece is put together from."""
        return [i for symbol in self._merge(piece) for i in self._ids(symbol)]

    def _merge(self, piece):
        """Applies the earliest-learned merge, leftmost first, until none applies."""
        symbols = list(piece)
        unranked = len(self.ranks)
        while len(symbols) > 1:
            rank, at = min((self.ranks.get(pair, unranked), i) for i, pair in enumerate(zip(symbols, symbols[1:])))
            if rank == unranked:
                break
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        return symbols

    def _ids(self, symbol):
        if symbol in self.vocab:
            return [self.vocab[symbol]]
        return [self.vocab[f"<0x{byte:02X}>"] for byte in symbol.encode("utf-8")]
