"""Caption sentences in ten languages, in groups that mean the same or tell of the same photo.

`captions/*.jsonl.gz`: a line is a group, {"id", "split", language: [sentences]}. Files are merged by id; what belongs to a
test split, or stands word for word in one, is never trained on.
"""

import gzip
import json
import pathlib

LANGUAGES = ["en", "zh", "ja", "ko", "ru", "de", "fr", "es", "pt", "it"]
# made by machines, and often wrong: never the sentence that others must come near to
WEAK = {"multiscript30k_mt_es_zh", "mscoco_it"}
# sentences of one group that do not mean the same (independent descriptions of one photo)
DESCRIPTIONS = {"flickr8k_cn_zh", "coco_cn_zh", "jglue_yjcaptions_ja", "mscoco_it", "iglue_xflickrco_fewshot"}
# questions and false statements: text alone, never said of the photo
NOT_CAPTIONS = {"xvnli", "xgqa_questions", "sick_en_ja_pt", "stsb_captions_10lang", "youcook2_en_ja", "tatoeba_short", "jhe_en_ko"}


def read(folder):
    """-> (file, group) of every line, in the order of their names."""
    for path in sorted(pathlib.Path(folder).glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield path.name.removesuffix(".jsonl.gz"), json.loads(line)


def said(group):
    """(language, sentence) of a group."""
    return [(language, text) for language in LANGUAGES for text in group.get(language, ())]


def of_tests(folder, test_captions=()):
    """Every sentence of a test split, lower case."""
    texts = {text.lower() for text in test_captions}
    for _, group in read(folder):
        if group["split"] == "test":
            texts |= {text.lower() for _, text in said(group)}
    return texts


def train_groups(folder, test_captions=()):
    """-> [(file, group)] to train on: of train splits, without the sentences of test splits."""
    unseen = of_tests(folder, test_captions)
    groups = []
    for name, group in read(folder):
        if group["split"] != "train":
            continue
        kept = {"id": group["id"]}
        for language in LANGUAGES:
            texts = [text for text in group.get(language, ()) if text.lower() not in unseen]
            if texts:
                kept[language] = texts
        if len(kept) > 1:
            groups.append((name, kept))
    return groups
