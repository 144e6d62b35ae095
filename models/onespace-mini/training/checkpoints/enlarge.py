"""Gives a trained model vectors for the words that tokenizer/add_words.py added.

    python3 -m checkpoints.enlarge --checkpoint work/X.pt --output work/Y.pt

All else stands still while the new vectors learn which names their words are near to (inputs/neighbours.py): minutes. A run that
goes on from Y trains them with the rest.
"""

import argparse
import os

import torch

from inputs.captions import articles
from evaluation.evaluate import Encoder
from export import HERE, MODEL
from hardware import DEVICE
from losses import resemble
from model import WIDTH, OneSpace, depth
from inputs.neighbours import shares
from tokenizer.add_words import all_neighbours
from tokenizer.encoder import Tokenizer

WORDS = 1024  # per step
RATE = 0.01
WITH_ARTICLE = 0.2


def grow(state, tokenizer):
    """One row for each token: a new word begins as the mean of the pieces it is made of. The optimizers' memories of it are zero."""
    rows = state["model"]["token.weight"]
    old = len(rows)
    new = [rows[tokenizer.parts(token)].mean(0) for token in list(tokenizer.vocab)[old:]]
    state["model"]["token.weight"] = torch.cat([rows, torch.stack(new)])
    for optimizer in state.get("optimizers", []):
        for memory in optimizer["state"].values():
            for name, value in memory.items():
                if torch.is_tensor(value) and value.shape == (old, WIDTH):
                    memory[name] = torch.cat([value, value.new_zeros(len(new), WIDTH)])
    return old


def learn(model, old, tokenizer, neighbours, steps):
    """Trains the rows from `old` on, with everything else fixed."""
    encoder = Encoder(model)
    with torch.no_grad():
        names = encoder.texts(neighbours.names)
    model.requires_grad_(False)
    rows = model.token.weight.requires_grad_()
    optimizer = torch.optim.Adam([rows], lr=RATE)
    known = [k for k, word in enumerate(neighbours.words) if max(tokenizer.encode(word)) >= old]
    for step in range(steps):
        chosen = [known[k] for k in torch.randperm(len(known))[:WORDS]]
        texts = [neighbours.words[k] for k in chosen]
        texts = [articles(f"a {t}") if k < WITH_ARTICLE * WORDS else t for k, t in enumerate(texts)]
        wanted = shares(neighbours.word_vectors[chosen], neighbours.name_vectors).to(DEVICE)
        loss = resemble(encoder.texts(texts), names, model.log_scale.exp(), wanted)
        rows.grad = None
        loss.backward()
        rows.grad[:old] = 0
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        optimizer.step()
        if step % 20 == 0 or step == steps - 1:
            print(f"step {step}: {float(loss):.3f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default=str(HERE / "work" / "run.pt"))
    parser.add_argument("--output", required=True)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    tokenizer = Tokenizer(MODEL / "tokenizer.json")
    state = torch.load(options.checkpoint, map_location="cpu")
    old = grow(state, tokenizer)
    model = OneSpace(depth(state["model"])).to(DEVICE)
    model.load_state_dict(state["model"])
    learn(model, old, tokenizer, all_neighbours(), options.steps)
    state["model"] = model.state_dict()
    torch.save(state, options.output)
    print(f"{old} -> {len(tokenizer)} tokens")
