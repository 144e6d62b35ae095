"""Trains onespace-mini. Run it again to resume where it stopped.

    python3 train.py --minutes 80

The learning rate follows the seconds *trained* (kept in the checkpoint), not
the clock, so the schedule ends on time on any machine and a resumed run goes on
as if it had never stopped. The same code runs on a CPU and on CUDA.
"""

import argparse
import json
import os
import pathlib
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from inputs.batches import Batches
from inputs.drawings import Collection
from hardware import BFLOAT16, DEVICE
from losses import find, follow, gather, lean, match, resemble, tell_apart
from model import LAYERS, OneSpace, deepened
from muon import Muon
from inputs.photos import Album
from tokenizer.encoder import Tokenizer

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE / "work"
CHECKPOINT_SECONDS = 120
UNDERSTOOD = 0.8  # share of turning drawings told apart at which the lesson goes on
LESSON_STEP = 0.005


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=80, help="training time in all, checkpoints not counted")
    parser.add_argument("--name", default="run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--entries", type=int, default=160, help="concepts per step")
    parser.add_argument("--photos", action=argparse.BooleanOptionalAction, default=True, help="train on photographs too")
    parser.add_argument("--photographed", type=int, default=104, help="classes of photos per step, two photos each")
    parser.add_argument("--explained", type=int, default=128, help="words of the dictionary per step")
    parser.add_argument("--compared", type=int, default=192, help="words compared with names per step")
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--begin-with", help="a checkpoint whose weights a new run begins with; it may have fewer layers")
    parser.add_argument("--enter", type=float, default=0, help="share of the curriculum and the schedule that a new run has behind it, where it begins with trained weights")
    parser.add_argument("--lr", type=float, default=1.5e-3, help="of AdamW")
    parser.add_argument("--matrix-lr", type=float, default=0.02, help="of Muon; 0 trains everything with AdamW")
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--stop-after", type=float, default=0, help="stop after so many minutes, to resume later")
    return parser.parse_args()


def optimizers(model, options):
    """Muon for the matrices inside the blocks, AdamW for the rest."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2] if options.matrix_lr else []
    chosen = {id(p) for p in matrices}
    rest = [(name, p) for name, p in model.named_parameters() if id(p) not in chosen]
    decayed = [p for name, p in rest if p.ndim == 2 and not name.startswith(("token", "modality"))]
    others = [p for name, p in rest if (p.ndim < 2 or name.startswith(("token", "modality"))) and name != "log_scale"]
    groups = [
        {"params": decayed, "weight_decay": options.decay, "lr": options.lr},
        {"params": others, "weight_decay": 0.0, "lr": options.lr},
        {"params": [model.log_scale], "weight_decay": 0.0, "lr": options.lr * 3},
    ]
    made = [torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8)]
    if matrices:
        made.append(Muon(matrices, lr=options.matrix_lr, weight_decay=options.decay * 0.2))
    for optimizer in made:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return made


def rate(progress, step):
    """Warm-up over 60 steps, level for a while, then straight down to zero."""
    return min(1.0, (step + 1) / 60) * min(1.0, max(0.0, (1 - progress) / 0.75) + 0.01)


def encode_texts(model, ids):
    """In four groups by length, so that little padding is computed."""
    length = (ids != 0).sum(1)
    order = length.argsort()
    cuts = [int(len(order) * share) for share in (0, 0.5, 0.8, 0.95, 1)]
    parts = [order[a:b] for a, b in zip(cuts, cuts[1:])]
    encoded = torch.cat([model.text(ids[part, : int(length[part].max())]) for part in parts])
    return encoded[torch.cat(parts).argsort()]


def compute_loss(model, batch):
    """-> loss, {name: value} for the log"""
    n = len(batch["entries"])
    scale = model.log_scale.exp().clamp(max=100)
    with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=BFLOAT16):
        stills = model.pixels(*batch["stills"])
        texts = encode_texts(model, batch["texts"])
        clips = model.pixels(*batch["clips"]) if "clips" in batch else None
        scenes = model.pixels(*batch["scenes"]) if "scenes" in batch else None
        photos = model.pixels(*batch["photos"]) if "photos" in batch else None
        pans = model.pixels(*batch["pans"]) if "pans" in batch else None
        turning = model.pixels(*batch["turning"])
        if "mixed" in batch:
            words, patches, places, meant = batch["mixed"]
            mixed = model(words, (words != 0).float(), patches, places, torch.ones(patches.shape[:2], device=DEVICE))
    (i1, i2), (t1, t2), extra = (stills[:n], stills[n:]), (texts[:n], texts[n : 2 * n]), texts[batch["captions"] * n : batch["words"]]
    to_still = match(i1, i2, scale)
    log = {"still-still": to_still, "right": (i1 @ t1.t()).argmax(1).eq(torch.arange(n, device=DEVICE)).float().mean()}
    if batch["captions"] == 2:
        to_text = (match(i1, t1, scale) + match(i2, t2, scale) + match(i1, t2, scale) + match(i2, t1, scale)) / 4
        log["text-text"] = match(t1, t2, scale)
        loss = to_text + 0.6 * to_still + 0.5 * log["text-text"]
    else:
        to_text = (match(i1, t1, scale) + match(i2, t1, scale)) / 2
        loss = to_text + 0.6 * to_still
    log["still-text"] = to_text
    if clips is not None:
        shown = len(clips) - len(extra)
        moved = torch.tensor(batch["moved_entries"], device=DEVICE)
        whose = torch.cat([torch.arange(shown, device=DEVICE), moved])
        plain = torch.cat([clips[:shown], clips[shown : shown + len(moved)]])  # clips that show one entry
        clip_text = (find(plain, t1, scale, whose) + find(plain, i1, scale, whose) + find(t1[:shown], clips, scale, torch.arange(shown, device=DEVICE))) / 3
        moving = match(clips[shown:], extra, scale)
        apart, correct = tell_apart(clips[shown:], extra, scale)
        loss = loss + 0.4 * clip_text + 0.5 * moving + 0.8 * apart
        log |= {"clip": clip_text, "motion": moving, "motion-right": correct}
    if scenes is not None:
        arranged = match(scenes, extra, scale)
        apart, correct = tell_apart(scenes, extra, scale)
        both = (find(mixed, t1, scale, meant) + find(mixed, i2, scale, meant)) / 2
        loss = loss + 0.3 * arranged + 0.4 * apart + 0.15 * both
        log |= {"scene": arranged, "scene-right": correct, "mixed": both}
    if photos is not None:
        photo_loss, photo_log = compute_photo_loss(photos, pans, texts[batch["words"] : batch["photo_words"]], batch, scale)
        loss, log = loss + photo_loss, log | photo_log
    words, meanings = texts[batch["photo_words"] : batch["told"]].chunk(2)
    log["dictionary"] = match(words, meanings, scale)
    synonyms = slice(batch["synonyms"])
    same, log["synonyms"] = follow(words[synonyms], meanings[synonyms], i1, scale)
    words, names = texts[batch["told"] : batch["compared"]].chunk(2)
    log["neighbours"] = resemble(words, names, scale, batch["shares"])
    among, log["among"] = follow(words, batch["shares"] @ names, i1, scale)
    said = texts[batch["compared"] :]
    log["turning"] = lean(turning, said, scale)
    apart, log["turning-right"] = tell_apart(turning, said, scale)
    loss = loss + 0.4 * log["dictionary"] + 2 * same + 0.5 * log["neighbours"] + among
    return loss + 0.6 * log["turning"] + 0.4 * apart, log


def compute_photo_loss(photos, pans, words, batch, scale):
    """photos: the classes once, then once more; words: captions of these and of other classes, then kinds."""
    names, kinds = words[: batch["named"]], words[batch["named"] :]
    classes = len(photos) // 2
    whose = torch.arange(classes, device=photos.device).repeat(2)
    owns = whose.unsqueeze(0) == whose[:classes].unsqueeze(1)  # [classes, photos]
    named = (find(photos, names, scale, whose) + gather(names[:classes], photos, scale, owns)) / 2
    alike = match(photos[:classes], photos[classes:], scale)
    kind = (gather(kinds, photos, scale, batch["kinds"]) + gather(photos, kinds, scale, batch["kinds"].t())) / 2
    log = {"photo-name": named, "photo-right": (photos @ names.t()).argmax(1).eq(whose).float().mean(), "photo-photo": alike, "kind": kind}
    loss = 0.9 * named + 0.25 * alike + 0.3 * kind
    if pans is not None:
        log["pan"] = find(pans, names, scale, whose[: len(pans)])
        loss = loss + 0.15 * log["pan"]
    return loss, log


class Run:
    """A training run and all that is needed to go on with it."""

    def __init__(self, options):
        torch.manual_seed(options.seed)
        torch.set_flush_denormal(True)
        self.options = options
        self.path = WORK / f"{options.name}.pt"
        self.model = OneSpace(options.layers).to(DEVICE)
        self.optimizers = optimizers(self.model, options)
        self.data = Collection()
        self.album = Album(DEVICE) if options.photos else None
        self.batches = Batches(self.data, self.album, Tokenizer(HERE.parent / "tokenizer.json"), options.seed, options.entries, photographed=options.photographed, explained=options.explained, compared=options.compared)
        self.step, self.seconds, self.averages, self.lesson = 0, 0.0, {}, 0.0
        self.interrupted = False
        self.ahead = ThreadPoolExecutor(1)  # draws the next batch while this one is learnt from
        if self.path.exists():
            self.load()
        elif options.begin_with:
            begun = torch.load(options.begin_with, map_location="cpu")
            self.model.load_state_dict(deepened(begun["model"], options.layers))
            self.lesson = begun["lesson"]

    def load(self):
        state = torch.load(self.path, map_location="cpu")
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.step, self.seconds, self.averages, self.lesson = state["step"], state["seconds"], state["averages"], state["lesson"]
        self.batches.rng.setstate(state["rng"])
        self.batches.deck = state["deck"]
        torch.set_rng_state(state["torch_rng"])
        if DEVICE == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"])
        print(f"resumed at step {self.step}, {self.seconds / 60:.1f} minutes", flush=True)

    def draw(self, progress):
        """The next batch, and the states of the generators before it was drawn: a resumed run draws it again."""
        before = {
            "rng": self.batches.rng.getstate(),
            "deck": self.batches.deck,
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if DEVICE == "cuda" else None,
        }
        return before, self.batches.step(self.step, progress, self.lesson)

    def save(self):
        before, _ = self.pending.result()
        state = {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "averages": self.averages,
            "lesson": self.lesson,
            **before,
            "options": vars(self.options),
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)

    def train_step(self, progress):
        _, batch = self.pending.result()
        self.step += 1
        # before the next batch is drawn, so that a resumed run draws it again at the same place in the lessons
        if self.averages.get("turning-right", 0) > UNDERSTOOD:
            self.lesson = min(1.0, self.lesson + LESSON_STEP)
        self.pending = self.ahead.submit(self.draw, progress)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate(progress, self.step)
        loss, log = compute_loss(self.model, batch)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        for name, value in log.items():
            value = float(value)
            self.averages[name] = 0.95 * self.averages.get(name, value) + 0.05 * value

    def log(self):
        line = {"step": self.step, "minutes": round(self.seconds / 60, 2), "scale": round(float(self.model.log_scale.exp()), 1), "lesson": round(self.lesson, 3)}
        line |= {name: round(value, 3) for name, value in self.averages.items()}
        print(json.dumps(line), flush=True)
        with open(WORK / f"{self.options.name}.log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")

    def interrupt(self, *_):
        """Ctrl-C or SIGTERM: the step under way is finished and saved."""
        self.interrupted = True

    @property
    def progress(self):
        """0..1 of the curriculum and the schedule."""
        enter = self.options.enter
        return min(1.0, enter + (1 - enter) * self.seconds / (self.options.minutes * 60))

    def go(self):
        signal.signal(signal.SIGINT, self.interrupt)
        signal.signal(signal.SIGTERM, self.interrupt)
        budget = self.options.minutes * 60
        stop = min(budget, self.seconds + self.options.stop_after * 60) if self.options.stop_after else budget
        saved = self.seconds
        self.pending = self.ahead.submit(self.draw, self.progress)
        while self.seconds < stop and not self.interrupted:
            started = time.monotonic()
            self.train_step(self.progress)
            self.seconds += time.monotonic() - started
            if self.step % 20 == 0 or self.step < 4:
                self.log()
            if self.seconds - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = self.seconds
        self.save()
        print(f"{'interrupted' if self.interrupted else 'done'}: {self.step} steps, {self.seconds / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    Run(arguments()).go()
