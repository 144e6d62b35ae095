"""Writes what is shipped: weights.bin and stem.bin with the large matrices as int8, the graphs that read them, model.json.

    python -m base.export --checkpoint work/run.pt --revision 1

    stem.onnx         frames [N, H, W, 3] of bytes, sides multiples of 32 -> cells [N, H / 32 * W / 32 + 1, 641]
    model.fp32.onnx   words and cells in one sequence -> the embedding; a node opens each matrix at load: exact arithmetic
    model.q8.onnx     activations become 8-bit integers too, with a scale found anew in each batch

Batch norms are folded into the convolutions first, so that each of their channels has a scale of its own.
"""

import argparse
import copy
import json
import pathlib

import numpy as np
import onnx
import torch
import torch.nn as nn
from onnx import numpy_helper

from base.model import CELL, EMBEDDING, LONGEST, WIDTH, Convolution, OneSpace
from export import Weights, compressed, files_of, matrices, quantised, write

HERE = pathlib.Path(__file__).resolve().parent.parent
MODEL = HERE.parent
STEM, GRAPHS = "stem.onnx", {"fp32": "model.fp32.onnx", "q8": "model.q8.onnx"}
INPUTS = ["input_ids", "text_mask", "patches", "positions", "patch_mask"]
TOKENIZER = "tokenizer.json"
SHIPPED = (STEM, "stem.bin", *GRAPHS.values(), "weights.bin", TOKENIZER)


def load_model(checkpoint):
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)["average"]
    state = {k.removeprefix("model."): v.float() if v.is_floating_point() else v for k, v in state.items() if k.startswith("model.")}
    model = OneSpace(state["token.weight"].shape[0])
    model.load_state_dict(state)
    return fold(model.eval())


def fold(model):
    """Batch norms into their convolutions."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Convolution):
                norm = module.norm
                gain = norm.weight / (norm.running_var + norm.eps).sqrt()
                module.conv.weight.mul_(gain.view(-1, 1, 1, 1))
                module.conv.bias = nn.Parameter(norm.bias - norm.running_mean * gain)
                module.norm = None
    return model


class StemGraph(nn.Module):
    def __init__(self, stem):
        super().__init__()
        self.stem = stem

    def forward(self, frames):
        return self.stem(frames.permute(0, 3, 1, 2).float())


def traced(module, example, inputs, output, free, path):
    torch.onnx.export(module, example, str(path), input_names=inputs, output_names=[output], dynamic_axes=free, opset_version=17, do_constant_folding=True, dynamo=False)
    model = onnx.load(str(path))
    onnx.checker.check_model(model)
    return model


def trace(model):
    """A folded model -> the graphs of its stem and of its transformer, with every length free."""
    batch, text, cells = 2, 5, 7
    (HERE / "work").mkdir(exist_ok=True)
    frames = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    sides = {"frames": {0: "frames", 1: "height", 2: "width"}, "cells": {0: "frames", 1: "cells"}}
    stem = traced(StemGraph(model.stem), (frames,), ["frames"], "cells", sides, HERE / "work/stem.onnx")
    free = {name: {0: "batch", 1: "text" if name in ("input_ids", "text_mask") else "cells"} for name in INPUTS} | {"embedding": {0: "batch"}}
    example = (torch.randint(4, 1000, (batch, text)), torch.ones(batch, text), torch.rand(batch, cells, WIDTH + EMBEDDING + 1), torch.rand(batch, cells, 3), torch.ones(batch, cells))
    return stem, traced(copy.copy(model), example, INPUTS, "embedding", free, HERE / "work/transformer.onnx")


class StemWeights(Weights):
    """Those of convolutions too: a scale for each channel that comes out."""

    def __init__(self, graph):
        self.axis, self.packed, self.scale = {}, {}, {}
        values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        chosen = matrices(graph) | {n.input[1]: (values[n.input[1]], 0) for n in graph.node if n.op_type == "Conv" and values[n.input[1]].size >= 1024}
        for name, (weight, axis) in chosen.items():
            self.axis[name] = axis
            self.packed[name], self.scale[name] = quantised(weight, axis)


def without_unused(model):
    read = {name for node in model.graph.node for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def describe(revision):
    """model.json: what the service needs to know."""
    vocabulary = json.loads((MODEL / TOKENIZER).read_text())["model"]["vocab"]
    return {
        "name": "onespace-base",
        "revision": revision,
        "family": "hybrid",
        "dim": EMBEDDING,
        "matryoshka": [256, 128, 64],
        "licence": "Apache-2.0",
        "description": "Text, images and video in one space: convolutions and a sentence encoder that openly licensed weights began, trained together on photographs, pictograms and captions in ten languages.",
        "files": files_of(MODEL, SHIPPED),
        "graphs": GRAPHS,
        "stem": STEM,
        "tokenizer": TOKENIZER,
        "patch": CELL,
        "cell": WIDTH + EMBEDDING + 1,
        "text": {"max_tokens": LONGEST, "pad_id": 0, "begin_id": vocabulary["[CLS]"], "end_id": vocabulary["[SEP]"]},
        "image": {"side": 224},
        "video": {"side": 128, "min_frames": 8, "max_frames": 32},
        "modalities": ["text", "image", "video"],
        "temporal": True,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default=str(HERE / "work" / "run.pt"))
    parser.add_argument("--revision", default="1")
    options = parser.parse_args()
    stem, graph = trace(load_model(options.checkpoint))
    for made, weights, location, graphs in ((stem, StemWeights(stem.graph), "stem.bin", {"fp32": STEM}), (graph, Weights(graph.graph), "weights.bin", GRAPHS)):
        weights.write(MODEL / location)
        for dtype, name in graphs.items():
            write(MODEL / name, without_unused(compressed(made, weights, location, integers=dtype == "q8")))
    (MODEL / "model.json").write_text(json.dumps(describe(options.revision), indent=2) + "\n")
    total = 0
    for name in SHIPPED:
        total += (MODEL / name).stat().st_size
        print(f"{name}: {(MODEL / name).stat().st_size:,} bytes")
    print(f"together {total:,} bytes")


if __name__ == "__main__":
    main()
