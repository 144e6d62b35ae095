"""Learns the byte-pair vocabulary from the captions and writes tokenizer.json.

    python3 tokenizer/learn.py        (about half a minute)
"""

import collections
import heapq
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from inputs import captions
from tokenizer.encoder import NORMALISER, PIECE, SPACE, pieces

SIZE = 10_000
WEIGHT = {"en": 4, "zh": 3}  # the other languages count once


def corpus():
    """(text, weight) of every label and tag, and of phrases as inputs/captions.py makes them."""
    for concept in captions.CONCEPTS:
        for language, texts in concept["text"].items():
            for text in texts:
                yield text, WEIGHT.get(language, 1)
        for word in concept["synonyms"]["train"]:
            yield word, 2
    rng = random.Random(0)
    for concept in range(len(captions.CONCEPTS)):
        for _ in range(3):
            yield captions.templated(concept, rng.choice(["en", "zh"]), rng), 1
            yield captions.coloured(concept, rng.choice(list(captions.COLOURS)), rng.choice(["en", "zh", "ja", "ko"]), rng), 1
            yield captions.moving(concept, rng.choice(captions.MOTIONS), rng.choice(["en", "zh"]), rng), 1


def learn(counts, size):
    """Merges the most frequent neighbours until the vocabulary has `size` tokens."""
    words = [list(piece) for piece in counts]
    weight = list(counts.values())
    characters = collections.Counter()
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, word in enumerate(words):
        for symbol in word:
            characters[symbol] += weight[i]
        for pair in zip(word, word[1:]):
            pairs[pair] += weight[i]
            where[pair].add(i)
    tokens = ["<pad>", "<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += [c for c, _ in sorted(characters.items(), key=lambda item: (-item[1], item[0]))]
    known, merges = set(tokens), []
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    while len(tokens) < size and heap:
        count, pair = heapq.heappop(heap)
        if pairs.get(pair, 0) != -count:  # stale: the count has changed since it was pushed
            if pairs.get(pair, 0) > 0:
                heapq.heappush(heap, (-pairs[pair], pair))
            continue
        merges.append(list(pair))
        joined = pair[0] + pair[1]
        if joined not in known:
            known.add(joined)
            tokens.append(joined)
        for changed in _apply(pair, joined, words, weight, pairs, where):
            heapq.heappush(heap, (-pairs[changed], changed))
    return tokens, merges


def _apply(pair, joined, words, weight, pairs, where):
    """Replaces a pair in every word that has it; returns the pairs whose count grew."""
    grown = set()
    for i in where.pop(pair):
        old, new, at = words[i], [], 0
        while at < len(old):
            if tuple(old[at : at + 2]) == pair:
                new.append(joined)
                at += 2
            else:
                new.append(old[at])
                at += 1
        for p in zip(old, old[1:]):
            pairs[p] -= weight[i]
        for p in zip(new, new[1:]):
            pairs[p] += weight[i]
            where[p].add(i)
            grown.add(p)
        words[i] = new
    pairs.pop(pair, None)
    return sorted(grown)


def tokenizer_json(tokens, merges):
    """The Hugging Face description of the same tokeniser."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": NORMALISER},
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": PIECE}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "byte_fallback": True,
            "ignore_merges": True,  # a piece that is a token is not taken apart: no merge leads to the words of add_words.py
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": merges,
        },
    }


if __name__ == "__main__":
    counts = collections.Counter()
    for text, weight in corpus():
        for piece in pieces(text):
            counts[piece] += weight
    tokens, merges = learn(counts, SIZE)
    target = pathlib.Path(__file__).resolve().parents[2] / "tokenizer.json"
    target.write_text(json.dumps(tokenizer_json(tokens, merges), ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    print(f"{len(tokens)} tokens, {len(merges)} merges from {len(counts)} pieces -> {target.name}")
