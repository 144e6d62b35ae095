"""Makes ../tokenizer.json: one vocabulary of WordPiece tokens for ten languages, and where their vectors come from.

    python -m base.vocabulary --captions DIR --data ../../onespace-mini/training/work/data

English pieces are those of the sentence encoder that the layers begin with (BERT's, uncased), as many as its most frequent
and whatever our own sentences need; the pieces of the other languages are learnt from their sentences. Chinese characters
are tokens of their own. Marks on Latin and Cyrillic letters are taken off, as BERT does, Japanese and Korean ones are not.
`work/vocabulary.json` says of each token which row of the encoder's word vectors it begins with, -1 for a new one.
"""

import argparse
import collections
import json
import pathlib
import re

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from base.sentences import LANGUAGES, said, train_groups

HERE = pathlib.Path(__file__).resolve().parent.parent
SIZE = 34_000
ENGLISH = 15_500  # of the encoder's own pieces
# learnt pieces of each language, before those that several share are counted once
LEARNT = {"zh": 0, "ja": 5_000, "ko": 5_000, "ru": 4_000, "de": 4_000, "fr": 3_500, "es": 3_500, "pt": 3_500, "it": 3_500}
CHARACTER = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"


def splitter():
    normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.NFD(),
            normalizers.Replace(Regex("[\u0300-\u036f]"), ""),
            normalizers.NFC(),
        ]
    )
    pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CHARACTER), "isolated"), pre_tokenizers.BertPreTokenizer()])
    return normalizer, pre_tokenizer


def dressed(model):
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = splitter()
    return tokenizer


def learnt(texts, size):
    """Pieces of one language, the most useful first."""
    tokenizer = dressed(models.WordPiece(unk_token="[UNK]"))
    trainer = trainers.WordPieceTrainer(vocab_size=size, min_frequency=2, limit_alphabet=size, special_tokens=["[UNK]"], continuing_subword_prefix="##", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary = tokenizer.get_vocab()
    return [piece for piece in sorted(vocabulary, key=vocabulary.get) if piece != "[UNK]"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--captions", required=True)
    parser.add_argument("--data", required=True, help="concepts.json and dictionary.json of onespace-mini's training")
    parser.add_argument("--encoder", required=True, help="tokenizer.json of the sentence encoder")
    options = parser.parse_args()
    corpus = collections.defaultdict(list)
    for _, group in train_groups(options.captions):
        for language, text in said(group):
            corpus[language].append(text)
    for concept in json.loads((pathlib.Path(options.data) / "concepts.json").read_text()):
        for language in LANGUAGES:
            corpus[language] += concept["text"][language] * 3
    names = (HERE / "../../onespace-mini/training/data/photo-names.txt").read_text().splitlines()
    for line in names:
        if line and not line.startswith("#"):
            for language, cell in zip(["en", "zh", "ja", "de", "fr", "es"], line.split("|")[1:]):
                corpus[language] += cell.replace(",", " ").split() * 3
    kept_words = [text for sense in json.loads((pathlib.Path(options.data) / "dictionary.json").read_text()) for text in sense["words"] + [sense["gloss"]]]

    old = json.loads(pathlib.Path(options.encoder).read_text())["model"]["vocab"]
    english = dressed(models.WordPiece(vocab=old, unk_token="[UNK]"))
    used = collections.Counter()
    for text in corpus["en"]:
        used.update(english.encode(text, add_special_tokens=False).tokens)
    rare = collections.Counter()
    for text in kept_words:
        rare.update(english.encode(text, add_special_tokens=False).tokens)
    single = lambda piece: len(piece.removeprefix("##")) == 1 and piece.isascii()
    need = [p for p in old if single(p)] + [p for p, n in used.most_common() if n >= 2]
    frequent = [p for p in sorted(old, key=old.get) if not p.startswith("[") and p.isascii()]
    need += [p for p, n in rare.most_common() if n >= 12] + frequent
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = dict.fromkeys(special)
    for piece in need:
        if len(vocabulary) >= ENGLISH:
            break
        if piece not in ("[UNK]",):
            vocabulary[piece] = None
    counts = {"en": len(vocabulary)}
    normalizer, _ = splitter()
    for language in LEARNT:  # every character first: a word with an unknown one is lost as a whole
        characters = collections.Counter()
        for text in corpus[language]:
            characters.update(normalizer.normalize_str(text))
        for character, n in characters.items():
            if n >= 2 and not character.isspace():
                vocabulary[character] = None
                if not re.match(CHARACTER, character):
                    vocabulary[f"##{character}"] = None
    counts["characters"] = len(vocabulary) - counts["en"]
    pieces = {language: [p for p in learnt(corpus[language], size) if len(p.removeprefix("##")) > 1] for language, size in LEARNT.items() if language != "zh"}
    for k in range(max(map(len, pieces.values()))):  # language by language, so that all have their most useful ones
        for language, own in pieces.items():
            if k < len(own) and len(vocabulary) < SIZE and own[k] not in vocabulary:
                vocabulary[own[k]] = None
                counts[language] = counts.get(language, 0) + 1
    vocab = {piece: k for k, piece in enumerate(vocabulary)}
    tokenizer = dressed(models.WordPiece(vocab=vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])])
    tokenizer.save(str(HERE.parent / "tokenizer.json"), pretty=False)
    (HERE / "work").mkdir(exist_ok=True)
    (HERE / "work/vocabulary.json").write_text(json.dumps([old.get(piece, -1) for piece in vocab]))
    print(len(vocab), counts)
    for language in LANGUAGES:
        encoded = tokenizer.encode_batch([t for t in corpus[language][:20000]])
        total = sum(len(e.ids) for e in encoded)
        print(language, len(corpus[language]), "tokens a sentence", round(total / len(encoded), 1), "unknown", sum(e.ids.count(vocab["[UNK]"]) for e in encoded) / total)


if __name__ == "__main__":
    main()
