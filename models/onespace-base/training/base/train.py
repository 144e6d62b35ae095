"""Trains onespace-base; run it again to resume where it stopped.

    python -m base.train --data DIR --minutes 20

The rate follows the seconds trained (kept in the checkpoint), so an interrupted run goes on as if it had never stopped.
"""

import argparse
import copy
import json
import math
import os
import pathlib
import pickle
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from base import MINI, drawings
from base.drawings import padded
from base.evaluate import evaluate
from base.model import EMBEDDING, WIDTH, Convolutions, OneSpace, convolution_weights, places
from base.packs import Packs
from base.pictures import SHAPES, augmented, panned
from base.said import Named, Text, caption_id
from base.teachers import MiniLM, Multilingual
from losses import LENGTHS, resemble

HERE = pathlib.Path(__file__).resolve().parent.parent
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
CHUNK = 256  # frames
# how much of a batch each set has: of photos with captions, and of photos with labels alone
CAPTIONED = {"flickr8k": 56, "coco2k": 22, "fsa-color": 8, "cocobits": 4, "ade-rooms": 5, "rsicd": 5}
LABELLED = {"tiny": 30, "caltech101": 14, "sports100": 12, "sports22": 7, "animals22": 6, "instruments": 5, "grocery": 4, "food101": 7, "clothing": 3, "ikea": 3, "fashion": 2, "rooms6": 4, "scenes6": 3}
REST = 1.0  # of every other set
DRAWN = 0.6  # weight of everything that onespace-mini learnt from
OWN = 0.75  # of what a photo is asked to find: its own; the rest by how alike the sentence encoder finds what is said


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="the photo packs")
    parser.add_argument("--weights", required=True, help="minilm.safetensors, minilm-tokenizer.json, lite0.pth, multilingual.npz, class-names.json")
    parser.add_argument("--name", default="run")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--photos", type=int, default=1024, help="of a step")
    parser.add_argument("--texts", type=int, default=1024, help="pairs of sentences of a step, and as many words")
    parser.add_argument("--entries", type=int, default=256, help="drawings of every second step")
    parser.add_argument("--limit", type=int, help="every so many-th photo alone, to try things out")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--research-data", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--evaluate-every", type=float, default=4, help="minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--begin-with", help="a checkpoint whose model is gone on with, such as that of base.restore")
    parser.add_argument("--scale", type=float, default=20.0, help="what similarities are multiplied with at the beginning")
    return parser.parse_args()


class Deck:
    """Numbers dealt without repeats until all have been."""

    def __init__(self, numbers, rng):
        self.numbers, self.rng, self.left = list(numbers), rng, []

    def deal(self, count):
        out = []
        while len(out) < count:
            if not self.left:
                self.left = self.rng.sample(self.numbers, len(self.numbers))
            out.append(self.left.pop())
        return out


def soft_match(a, b, scale, wanted):
    """Both ways, row k of a finds the rows of b as `wanted` [n, n] says, at all lengths of the embedding."""
    return (resemble(a, b, scale, wanted) + resemble(b, a, scale, wanted.t() / wanted.sum(0).unsqueeze(1))) / 2


class World:
    """All data and teachers on the device."""

    def __init__(self, options):
        started = time.monotonic()
        tell = lambda what: print(f"{time.monotonic() - started:.0f} s: {what}", flush=True)
        weights = pathlib.Path(options.weights)
        self.state = load_file(weights / "minilm.safetensors")
        self.state = {k: v.float() if v.is_floating_point() else v for k, v in self.state.items()}
        tokenizer = Tokenizer.from_file(str(weights / "minilm-tokenizer.json"))
        tokenizer.no_padding()
        self.minilm = MiniLM(self.state, tokenizer)
        self.lite = torch.load(weights / "lite0.pth", map_location="cpu")
        self.packs = Packs(options.data, options.workers, options.limit, options.research_data)
        tell(f"{len(self.packs.labels)} photos, {len(self.packs.train)} to train on, {self.packs.left_out} too like a test photo")
        self.text = Text(HERE / "work/text.pkl", self.minilm, Multilingual(weights / "multilingual.npz", DEVICE), DEVICE, options.limit)
        train = [k for k in self.packs.train if self.packs.extras[k].get("captions")]
        self.text.add_captions([(caption_id(self.packs.sets[k], k, self.packs.extras[k]), self.packs.extras[k]["captions"]) for k in train])
        self.text.finish()
        tell(f"{len(self.text.texts)} texts in {len(self.text.groups)} groups, {len(self.text.word_list)} words")
        self.named = Named(self.packs, self.text, MINI / "data/photo-names.txt", DEVICE)
        self.pixels = torch.from_numpy(self.packs.pixels).to(DEVICE)
        self.aspects = torch.from_numpy(self.packs.aspects).to(DEVICE)
        self.class_names = json.loads((weights / "class-names.json").read_text())  # 1,000 lists, the plainest first
        self.collection = drawings.collection()
        tell(f"{len(self.collection.train)} drawings, {len(self.collection.clips)} clips")

    def teacher(self):
        """The classifier as it was."""
        convolutions = Convolutions().to(DEVICE).eval()
        ours, fc = convolution_weights(self.lite)
        convolutions.load_state_dict(ours, strict=False)
        convolutions.chunk = CHUNK if CUDA else 0
        classifier = nn.Linear(1280, 1000).to(DEVICE)
        classifier.load_state_dict(fc)
        return convolutions.to(memory_format=torch.channels_last), classifier


class Learner(nn.Module):
    """The model, and what it needs in training alone."""

    def __init__(self, vocabulary):
        super().__init__()
        self.model = OneSpace(vocabulary)
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.drawn_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.class_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.to_minilm = nn.Linear(EMBEDDING, WIDTH, bias=False)
        self.to_use = nn.Linear(EMBEDDING, 512, bias=False)

    def begin(self, world):
        rows = json.loads((HERE / "work/vocabulary.json").read_text())
        self.model.begin(world.state, world.lite, rows)
        plain = world.minilm.pooled([names[0] for names in world.class_names], DEVICE).cpu()
        sample = random.Random(0).sample(world.text.lexicon["en"], min(4000, len(world.text.lexicon["en"])))
        captions = [world.text.texts[r] for g in world.text.groups[:6000] for r in g[1][:1]]
        pooled = world.minilm.pooled(sample + captions, DEVICE).cpu()
        _, _, axes = torch.linalg.svd(pooled - pooled.mean(0), full_matrices=False)
        with torch.no_grad():
            self.model.project.weight.copy_(axes[:EMBEDDING])
            names = plain @ axes[:EMBEDDING].T
            self.model.stem.names.copy_((names - names.mean(0)) * 2)
            self.to_minilm.weight.copy_(axes[:EMBEDDING].T)


def optimizer(learner, rate):
    model = learner.model
    groups = {}

    def add(parameters, lr, decay):
        for p in parameters:
            groups.setdefault((lr, decay if p.ndim > 1 else 0.0), []).append(p)

    add(model.stem.convolutions.parameters(), 3e-4 * rate, 0.02)
    add(model.layers.parameters(), 2e-4 * rate, 0.05)
    add([*model.token.parameters(), *model.order.parameters()], 5e-4 * rate, 0.0)
    add([*model.stem.cells.parameters(), *model.stem.hidden.parameters(), *model.stem.around.parameters(), *model.place.parameters(), *model.kind.parameters()], 1e-3 * rate, 0.05)
    add([*model.stem.classifier.parameters(), model.stem.names, model.stem.spread, model.stem.sharpness, *model.project.parameters(), *model.norm_in.parameters()], 2e-4 * rate, 0.01)
    add([*learner.to_minilm.parameters(), *learner.to_use.parameters()], 1e-3 * rate, 0.01)
    add([learner.log_scale, learner.drawn_scale, learner.class_scale], 2e-3 * rate, 0.0)
    assert sum(map(len, groups.values())) == len(list(learner.parameters()))
    return torch.optim.AdamW([{"params": p, "lr": lr, "peak": lr, "weight_decay": d} for (lr, d), p in groups.items()], betas=(0.9, 0.98), fused=CUDA)


def schedule(progress, step):
    """Warm-up over 150 steps, then half a cosine down to nothing."""
    return min(1.0, (step + 1) / 150) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))) + 1e-4


class Run:
    def __init__(self, options):
        torch.manual_seed(options.seed)
        torch.backends.cuda.enable_cudnn_sdp(False)  # plans for every new shape
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.options, self.rng = options, random.Random(options.seed)
        self.world = world = World(options)
        self.tokenizer = Tokenizer.from_file(str(HERE.parent / "tokenizer.json"))
        self.learner = Learner(self.tokenizer.get_vocab_size())
        self.learner.begin(world)
        if options.begin_with:
            begun = torch.load(options.begin_with, map_location="cpu")["average"]
            self.learner.model.load_state_dict({k.removeprefix("model."): v for k, v in begun.items() if k.startswith("model.")})
        with torch.no_grad():
            for scale in (self.learner.log_scale, self.learner.drawn_scale, self.learner.class_scale):
                scale.fill_(math.log(options.scale))
        self.learner.to(DEVICE)
        self.learner.model.stem.convolutions.to(memory_format=torch.channels_last)
        self.learner.model.stem.convolutions.chunk = CHUNK if CUDA else 0
        self.average = copy.deepcopy(self.learner).eval().requires_grad_(False)
        self.optimizer = optimizer(self.learner, options.rate)
        self.teacher = world.teacher()
        self.as_mini = drawings.AsMini(self.learner.model, self.learner.drawn_scale)
        self.drawn = drawings.Drawn(world.collection, None, self.tokenizer, options.seed, options.entries, animated=min(24, options.entries // 6), coloured=options.entries // 8, turning=max(4, options.entries // 12), moved=max(8, options.entries // 12), explained=min(192, options.entries), compared=min(192, options.entries))
        packs, sets = world.packs, {}
        for k in packs.train:
            captioned = bool(packs.extras[k].get("captions") or packs.extras[k].get("classes")) and packs.sets[k] in CAPTIONED
            sets.setdefault((packs.sets[k], captioned), []).append(int(k))
        shares = {}
        for (name, captioned), numbers in sets.items():
            shares[name, captioned] = 0.55 * CAPTIONED[name] / 100 if captioned else 0.45 * (LABELLED.get(name, REST)) / 112
        total = sum(shares.values())
        self.decks = [(share / total, Deck(sets[key], self.rng)) for key, share in shares.items()]
        self.captioned = Deck([n for (name, c), numbers in sets.items() if c and name != "rsicd" for n in numbers], self.rng)
        self.step, self.seconds, self.averages, self.lesson, self.interrupted = 0, 0.0, {}, 0.0, False
        self.path = HERE / "work" / f"{options.name}.pt"
        if self.path.exists():
            self.load()
        self.ahead = ThreadPoolExecutor(1)

    # -- what a step sees, made on another thread ------------------------------

    def ids(self, texts):
        return padded([e.ids[:64] for e in self.tokenizer.encode_batch(texts)], DEVICE)

    def draw(self):
        rng, named, count = self.rng, self.world.named, self.options.photos
        photos = []
        for share, deck in self.decks:
            exact = share * count
            photos += deck.deal(int(exact) + (rng.random() < exact % 1))
        photos = (photos + self.decks[0][1].deal(count))[:count] if len(photos) < count else rng.sample(photos, count)
        moving = self.captioned.deal(max(4, count // 20))
        batch = {"photos": torch.tensor(photos, device=DEVICE), "moving": torch.tensor(moving, device=DEVICE)}
        batch["shape"] = rng.choices(list(SHAPES), SHAPES.values())[0]
        batch["times"] = drawings.mini.random_times(4, rng)
        said = [named.phrase(k, rng) for _ in range(2) for k in photos] + [named.phrase(k, rng) for k in moving]
        first, second, batch["meant"] = self.world.text.pairs(self.options.texts, rng)
        words, batch["word_rows"], batch["word_meant"] = self.world.text.words(self.options.texts, rng)
        batch["rows"] = torch.tensor(first + second, device=DEVICE)
        classes = [rng.choice(names) if rng.random() < 0.4 else names[0] for names in self.world.class_names]
        if rng.random() < 0.5:
            form = rng.choice(["a photo of a {}", "a {}", "the {}", "{} in a photo", "a picture of a {}"])
            classes = [drawings.mini.captions.articles(form.format(c)) for c in classes]
        texts = said + [self.world.text.texts[r] for r in first + second] + words + classes
        batch["ids"] = self.ids(texts)
        batch["drawn"] = self.drawn.step(self.step // 2, min(1.0, self.progress + 0.4), self.lesson) if self.step % 2 == 0 else None
        return batch

    # -- learning ---------------------------------------------------------------

    def encode_texts(self, ids):
        """In groups by length, so that little padding is computed."""
        model = self.learner.model
        length = (ids != 0).sum(1)
        order = length.argsort()
        cuts = [int(len(order) * share) for share in (0, 0.25, 0.5, 0.7, 0.85, 0.95, 1)]
        parts = [order[a:b] for a, b in zip(cuts, cuts[1:])]
        longest = [int(v) for v in torch.stack([length[p].max() for p in parts]).tolist()]
        encoded = torch.cat([model.text(ids[part, :n]) for part, n in zip(parts, longest)])
        return encoded[torch.cat(parts).argsort()]

    def wanted(self, keys, vectors):
        same = (keys[:, None] == keys[None]).float()
        alike = (vectors @ vectors.T * 20).softmax(1)
        return OWN * same / same.sum(1, keepdim=True) + (1 - OWN) * alike

    def loss(self, batch):
        learner, model, world = self.learner, self.learner.model, self.world
        photos, n = batch["photos"], len(batch["photos"])
        rows, columns = batch["shape"]
        log = {}
        with torch.no_grad():
            frames = augmented(world.pixels[photos], world.aspects[photos], rows, columns).contiguous(memory_format=torch.channels_last)
            clips = panned(world.pixels[batch["moving"]], world.aspects[batch["moving"]], 4, 4, 4).contiguous(memory_format=torch.channels_last)
        with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=CUDA):
            with torch.no_grad():
                believed = self.teacher[1](self.teacher[0](frames).mean((2, 3))).float().softmax(1)
            pictures = model.cells(model.stem(frames), places(rows, columns, [0.0], DEVICE).expand(n, -1, -1))
            m = len(batch["moving"])
            moving = model.cells(model.stem(clips).reshape(m, -1, EMBEDDING + WIDTH + 1), places(4, 4, batch["times"], DEVICE).expand(m, -1, -1))
            texts = self.encode_texts(batch["ids"])
        scale = learner.log_scale.exp().clamp(max=100)
        t = self.options.texts
        said, of_moving, first, second, words, classes = texts.split([2 * n, m, t, t, t, len(world.class_names)])
        one, two = said.chunk(2)
        vectors = world.named.vectors[photos]
        wanted = self.wanted(world.named.keys[photos], vectors)
        log["photo"] = (soft_match(pictures, one, scale, wanted) + soft_match(pictures, two, scale, wanted)) / 2
        log["photo-right"] = (wanted.gather(1, (pictures @ one.t()).argmax(1, keepdim=True)) > 0.3).float().mean()
        log["said"] = soft_match(one, two, scale, wanted)
        seen = batch["moving"]
        log["moving"] = soft_match(moving, of_moving, scale, self.wanted(world.named.keys[seen], world.named.vectors[seen]))
        log["class"] = resemble(pictures, classes, learner.class_scale.exp().clamp(max=100), believed) + (believed * (believed + 1e-9).log()).sum(1).mean()
        # languages: sentences of a group find one another, and all lie where the encoders put them
        use = world.text.use[batch["rows"]].float()
        pair_wanted = OWN * torch.eye(t, device=DEVICE) + (1 - OWN) * (use[:t] @ use[:t].T * 20).softmax(1)
        log["pairs"] = soft_match(first, second, scale, pair_wanted)
        meant = batch["meant"]
        known = meant.any(1).float()
        far = lambda a, b, weight: ((1 - F.cosine_similarity(a, b, dim=-1)) * weight).sum() / weight.sum().clamp(min=1)
        log["minilm"] = (far(learner.to_minilm(first), meant, known) + far(learner.to_minilm(second), meant, known)) / 2
        both = torch.cat([first, second])
        log["use"] = far(learner.to_use(both), use, use.any(1).float())
        word_meant = batch["word_meant"]
        log["word"] = far(learner.to_minilm(words), word_meant, word_meant.any(1).float())
        log["word-use"] = far(learner.to_use(words), world.text.use[batch["word_rows"]].float(), torch.ones(t, device=DEVICE))
        loss = log["photo"] + 0.25 * log["said"] + 0.15 * log["moving"] + 0.7 * log["class"] + 0.4 * log["pairs"]
        loss = loss + 3 * log["minilm"] + 2 * log["use"] + 2 * log["word"] + 1.5 * log["word-use"]
        if batch["drawn"] is not None:
            drawn, drawn_log = drawings.compute_loss(self.as_mini, batch["drawn"])
            loss = loss + DRAWN * drawn
            log |= {f"drawn-{k}": v for k, v in drawn_log.items()}
        return loss, log

    @property
    def progress(self):
        return min(1.0, self.seconds / (self.options.minutes * 60))

    def train_step(self):
        batch = self.pending.result()
        self.step += 1
        if self.averages.get("drawn-turning-right", 0) > 0.8:
            self.lesson = min(1.0, self.lesson + 0.01)
        self.pending = self.ahead.submit(self.draw)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * schedule(self.progress, self.step)
        self.learner.train()
        loss, log = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learner.parameters(), 2.0)
        self.optimizer.step()
        decay = min(0.998, self.step / (self.step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.learner.parameters()), 1 - decay)
        if self.step % 5 == 0 or self.step < 20 or batch["drawn"] is not None:
            names = list(log)
            values = torch.stack([log[k].detach().float() for k in names]).tolist()
            for name, value in zip(names, values):
                self.averages[name] = 0.9 * self.averages.get(name, value) + 0.1 * value

    def save(self):
        state = {"learner": self.learner.state_dict(), "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step, "seconds": self.seconds, "averages": self.averages, "lesson": self.lesson, "rng": self.rng.getstate(), "torch_rng": torch.get_rng_state()}
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)

    def load(self):
        state = torch.load(self.path, map_location="cpu", weights_only=False)
        self.learner.load_state_dict(state["learner"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.averages, self.lesson = (state[k] for k in ("step", "seconds", "averages", "lesson"))
        self.rng.setstate(state["rng"])
        torch.set_rng_state(state["torch_rng"])
        print(f"resumed at step {self.step}, {self.seconds / 60:.1f} minutes", flush=True)

    def log(self):
        line = {"step": self.step, "minutes": round(self.seconds / 60, 2), "scale": round(float(self.learner.log_scale.exp()), 1), "lesson": round(self.lesson, 3)}
        line |= {name: round(value, 3) for name, value in self.averages.items()}
        print(json.dumps(line), flush=True)

    def measure(self):
        print(json.dumps({"step": self.step, "evaluation": evaluate(self.average.model, self.tokenizer, self.world, DEVICE)}), flush=True)

    def go(self):
        for s in (signal.SIGINT, signal.SIGTERM):
            signal.signal(s, lambda *_: setattr(self, "interrupted", True))
        self.pending = self.ahead.submit(self.draw)
        measured = saved = self.seconds
        while self.progress < 1 and not self.interrupted:
            started = time.monotonic()
            self.train_step()
            if CUDA and self.step % 5 == 0:
                torch.cuda.synchronize()
            self.seconds += time.monotonic() - started
            if self.step % 50 == 0 or self.step < 4:
                self.log()
            if self.seconds - saved > 150:
                self.save()
                saved = self.seconds
            if self.seconds - measured > self.options.evaluate_every * 60:
                self.measure()
                measured = self.seconds
        self.save()
        self.measure()
        print(f"{'interrupted' if self.interrupted else 'done'}: {self.step} steps, {self.seconds / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    Run(arguments()).go()
