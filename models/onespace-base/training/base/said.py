"""What is said in training: of photos, between languages, and of single words; with what the two sentence encoders think of it."""

import pickle

import numpy as np
import torch
import torch.nn.functional as F

from base.packs import label_names
from base.sentences import NOT_CAPTIONS, said
from inputs import captions as phrases

# how often a photo is spoken of in each language, where it can be
SPOKEN = {"en": 0.42, "zh": 0.16, "de": 0.09, "fr": 0.09, "pt": 0.07, "es": 0.06, "ja": 0.05, "it": 0.03, "ru": 0.02, "ko": 0.01}
MINED = 0.55  # cosine by the multilingual encoder from which on an English word translates another


class Text:
    """`texts` by row, `minilm` [rows, 384] where English (else zero), `use` [rows, 512], on the device."""

    def __init__(self, file, minilm, multilingual, device, limit=None):
        """limit: every so many-th group and word alone, to try things out"""
        with open(file, "rb") as f:
            stored = pickle.load(f)
        self.texts, self.lexicon = stored["texts"], stored["lexicon"]
        ends = np.cumsum(stored["lengths"].astype(np.int64))
        ids = np.split(stored["ids"], ends[:-1])
        if limit:
            stored["groups"] = stored["groups"][::limit]
            self.lexicon = {language: words[::limit] for language, words in self.lexicon.items()}
            kept = {t for *_, g in stored["groups"] for _, t in said(g)} | {w for words in self.lexicon.values() for w in words}
            rows = [k for k, text in enumerate(self.texts) if text in kept]
            self.texts, ids = [self.texts[k] for k in rows], [ids[k] for k in rows]
        self.row = {text: k for k, text in enumerate(self.texts)}
        self.use = multilingual(ids)
        merged = {}
        for weak, name, group in stored["groups"]:
            own = merged.setdefault(group["id"], {"weak": set(), "photo": {}, "all": {}})
            for language in phrases.LANGUAGES:
                for text in group.get(language, ()):
                    own["all"].setdefault(language, []).append(self.row[text])
                    if weak:
                        own["weak"].add(self.row[text])
                    if name not in NOT_CAPTIONS:
                        own["photo"].setdefault(language, []).append(self.row[text])
        self.merged, self.device, self.encoder = merged, device, minilm

    def add_captions(self, photos):
        """English captions of photo packs join their groups; [(id, captions)]"""
        fresh = [text for _, texts in photos for text in texts if text not in self.row]
        for text in dict.fromkeys(fresh):
            self.row[text] = len(self.texts)
            self.texts.append(text)
        self.use = torch.cat([self.use, self.use.new_zeros(len(self.texts) - len(self.use), 512)])
        for key, texts in photos:
            own = self.merged.setdefault(key, {"weak": set(), "photo": {}, "all": {}})
            rows = [self.row[t] for t in texts]
            for kind in ("photo", "all"):
                known = own[kind].setdefault("en", [])
                own[kind]["en"] = known + [r for r in rows if r not in known]

    def finish(self):
        """Vectors of everything English, translations of single words, and the groups as arrays."""
        english = sorted({r for g in self.merged.values() for r in g["all"].get("en", ())} | {self.row[w] for w in self.lexicon["en"]})
        self.minilm = torch.zeros(len(self.texts), 384, dtype=torch.half, device=self.device)
        for k in range(0, len(english), 50_000):
            part = english[k : k + 50_000]
            self.minilm[torch.tensor(part, device=self.device)] = self.encoder([self.texts[r] for r in part], self.device).half()
        self.groups = []
        for key, own in self.merged.items():
            pairs = [(language, r) for language, rows in own["all"].items() for r in rows]
            if len(pairs) > 1:
                self.groups.append((pairs, own["all"].get("en", ())))
        # words of other languages lie where the English words do that the multilingual encoder thinks they mean
        known = torch.tensor([self.row[w] for w in self.lexicon["en"]], device=self.device)
        rows, vectors = [known], [self.minilm[known]]
        for language, words in self.lexicon.items():
            if language == "en":
                continue
            own = torch.tensor([self.row[w] for w in words], device=self.device)
            alike = self.use[own].float() @ self.use[known].float().T
            best, index = alike.topk(3, 1)
            share = (best * 20).softmax(1).unsqueeze(-1)
            meant = F.normalize((self.minilm[known][index].float() * share).sum(1), dim=-1)
            sure = best[:, 0] > MINED
            rows.append(own)
            vectors.append((meant * sure[:, None]).half())
        self.word_rows, self.word_targets = torch.cat(rows), torch.cat(vectors)
        self.word_list = self.word_rows.tolist()
        self.english_words = len(known)

    def pairs(self, count, rng):
        """Two sentences each of `count` groups -> rows, rows, MiniLM's mean of the English ones [count, 384] (zero where none)."""
        first, second, means = [], [], []
        for pairs, english in rng.choices(self.groups, k=count):
            languages = {language for language, _ in pairs}
            a = rng.choice(pairs)
            others = [p for p in pairs if p[0] != a[0]] if len(languages) > 1 else [p for p in pairs if p[1] != a[1]] or pairs
            if english and a[0] != "en" and rng.random() < 0.6:
                b = ("en", rng.choice(english))
            else:
                b = rng.choice(others)
            first.append(a[1]), second.append(b[1])
            means.append(english)
        flat = torch.tensor([r for e in means for r in e] or [0], device=self.device)
        owner = torch.tensor([k for k, e in enumerate(means) for _ in e] or [0], device=self.device)
        mean = torch.zeros(count, 384, device=self.device).index_add_(0, owner, self.minilm[flat].float())
        return first, second, F.normalize(mean, dim=-1, eps=1e-6)

    def words(self, count, rng):
        """-> texts, rows, MiniLM's vectors of what they mean (zero where not known)"""
        n = len(self.word_list)
        chosen = [rng.randrange(self.english_words) if rng.random() < 0.35 else rng.randrange(self.english_words, n) for _ in range(count)]
        index = torch.tensor(chosen, device=self.device)
        return [self.texts[self.word_list[k]] for k in chosen], self.word_rows[index], self.word_targets[index].float()


class Named:
    """What each photo may be called, language by language, and MiniLM's vector of it."""

    def __init__(self, packs, text, table, device):
        names = label_names(table)
        self.said = []  # of each photo: {language: [captions]} or None, {language: [names]} or None
        self.keys = np.full(len(packs.labels), -1)
        classes = {}
        vectors, plain = [], []
        for k, (label, extra, name) in enumerate(zip(packs.labels, packs.extras, packs.sets)):
            spoken = None
            if extra.get("captions"):
                group = text.merged.get(caption_id(name, k, extra))
                spoken = {language: [text.texts[r] for r in rows] for language, rows in group["photo"].items()} if group else {"en": extra["captions"]}
            elif extra.get("classes"):
                spoken = {"en": [f"a photo of {' and '.join(extra['classes'][:3])}"]}
            called = None
            if label:
                called = names.get(label) or {"en": [label.replace("_", " ").replace("-", " ").lower()]}
                key = called["en"][0].lower()
                self.keys[k] = classes.setdefault(key, len(classes))
            self.said.append((spoken, called))
            plain.append((spoken["en"] if spoken and "en" in spoken else []) or ([called["en"][0]] if called else ["a photo"]))
        flat = [t for p in plain for t in p[:5]]
        owner = torch.tensor([k for k, p in enumerate(plain) for _ in p[:5]], device=device)
        vectors = text.encoder(flat, device)
        total = torch.zeros(len(plain), 384, device=device).index_add_(0, owner, vectors)
        self.vectors = F.normalize(total, dim=-1)
        # a photo without a label is a class of its own
        own = self.keys < 0
        self.keys[own] = len(classes) + np.arange(own.sum())
        self.keys = torch.from_numpy(self.keys).to(device)

    def phrase(self, k, rng):
        spoken, called = self.said[k]
        if spoken and (not called or rng.random() < 0.6):
            language = speak(spoken, rng)
            return rng.choice(spoken[language])
        language = speak(called, rng)
        word = called[language][0] if rng.random() < 0.7 else rng.choice(called[language])
        return phrases.asked(word, language, rng) if rng.random() < 0.4 else word


def caption_id(name, k, extra):
    """The id of a photo's captions: Flickr's and COCO's are known to other files, others have one of their own."""
    if name == "flickr8k":
        return extra["name"]
    if "coco_id" in extra:
        return f"coco:{extra['coco_id']}"
    return f"{name}:{k}"


def speak(languages, rng):
    weights = [SPOKEN.get(language, 0.01) for language in languages]
    return rng.choices(list(languages), weights)[0]
