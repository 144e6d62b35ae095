"""Averages the weights of checkpoints of one run: the mean lies lower in the valley they share than each of them
(model soups, Wortsman et al. 2022, arXiv:2203.05482). What else a checkpoint holds is the last one's.

    python3 -m checkpoints.average work/a.pt work/b.pt --output work/mean.pt
"""

import argparse

import torch

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    states = [torch.load(path, map_location="cpu") for path in options.checkpoints]
    last = states[-1]
    last["model"] = {name: torch.stack([s["model"][name] for s in states]).mean(0) for name in last["model"]}
    torch.save(last, options.output)
