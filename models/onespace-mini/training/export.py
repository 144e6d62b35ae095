"""Writes model.onnx, the one file of weights that is shipped, and model.json.

    python3 export.py                      int8 weights (about 8 MB)
    python3 export.py --weights float32    for comparing with PyTorch

Compute stays float32 either way. Large matrices are stored as int8 with one
scale per output channel and opened by a DequantizeLinear node, which ONNX
Runtime folds into a plain matrix when it loads the model: small on disk, exact
arithmetic at run time.
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from model import EMBEDDING, OneSpace

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent
INPUTS = ["input_ids", "text_mask", "patches", "positions", "patch_mask"]
SMALLEST = 4096  # numbers; smaller tensors stay float32


def load_model(checkpoint):
    model = OneSpace()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu")["model"])
    return model.eval()


def trace(model, path):
    """PyTorch -> ONNX with every length free."""
    batch, text, patches = 2, 5, 7
    example = (
        torch.randint(2, 9000, (batch, text)),
        torch.ones(batch, text),
        torch.randint(0, 256, (batch, patches, 768), dtype=torch.uint8),
        torch.rand(batch, patches, 3),
        torch.ones(batch, patches),
    )
    free = {name: {0: "batch", 1: "text" if name in ("input_ids", "text_mask") else "patches"} for name in INPUTS}
    free["embedding"] = {0: "batch"}
    torch.onnx.export(model, example, str(path), input_names=INPUTS, output_names=["embedding"], dynamic_axes=free, opset_version=17, do_constant_folding=True)
    return onnx.load(str(path))


def matrices(graph):
    """{name: (values, axis)} of the large weights and the axis of their output channels."""
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    chosen = {}
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in values:
            name, axis = node.input[1], 1
            if node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute):
                axis = 0
        elif node.op_type == "Gather" and node.input[0] in values:
            name, axis = node.input[0], 0  # the token table: a scale per token
        else:
            continue
        if values[name].dtype == np.float32 and values[name].size >= SMALLEST:
            chosen[name] = (values[name], axis)
    return chosen


def quantised(weight, axis):
    """Symmetric int8: -> int8 weight, one float32 scale per channel along `axis`."""
    other = tuple(d for d in range(weight.ndim) if d != axis)
    scale = np.maximum(np.abs(weight).max(axis=other), 1e-12) / 127
    shape = [-1 if d == axis else 1 for d in range(weight.ndim)]
    return np.clip(np.rint(weight / scale.reshape(shape)), -127, 127).astype(np.int8), scale.astype(np.float32)


def store_int8(model):
    """Replaces each large weight by int8 numbers and a DequantizeLinear node."""
    graph = model.graph
    opened = []
    for name, (weight, axis) in matrices(graph).items():
        packed, scale = quantised(weight, axis)
        old = next(t for t in graph.initializer if t.name == name)
        graph.initializer.remove(old)
        zero = np.zeros(scale.shape, np.int8)
        graph.initializer.extend(numpy_helper.from_array(array, f"{name}.{part}") for array, part in ((packed, "int8"), (scale, "scale"), (zero, "zero")))
        opened.append(helper.make_node("DequantizeLinear", [f"{name}.int8", f"{name}.scale", f"{name}.zero"], [name], axis=axis))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(opened + nodes)
    return model


def describe(revision, graph):
    """model.json: what the service needs to know."""
    files = {}
    for name in (graph, "tokenizer.json"):
        data = (MODEL / name).read_bytes()
        files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {
        "name": "onespace-mini",
        "revision": revision,
        "family": "unified",
        "dim": EMBEDDING,
        "matryoshka": [256, 128, 64],
        "licence": "Apache-2.0",
        "description": "Text, pictures and clips in one space: a small transformer trained on pictograms in ten languages.",
        "files": files,
        "graph": graph,
        "tokenizer": "tokenizer.json",
        "patch": 16,
        "text": {"max_tokens": 64, "pad_id": 0},
        "image": {"side": 64},
        "video": {"side": 64, "min_frames": 8, "max_frames": 32},
        "modalities": ["text", "image", "video"],
        "temporal": True,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default=str(HERE / "work" / "run.pt"))
    parser.add_argument("--weights", choices=["int8", "float32"], default="int8")
    parser.add_argument("--revision", default="1")
    options = parser.parse_args()
    float_path = HERE / "work" / "model-float32.onnx"
    traced = trace(load_model(options.checkpoint), float_path)
    onnx.checker.check_model(traced)
    if options.weights == "float32":
        print(f"{float_path.name}: {float_path.stat().st_size:,} bytes")
    else:
        target = MODEL / "model.onnx"
        packed = store_int8(traced)
        onnx.checker.check_model(packed)
        partial = target.with_suffix(".partial")
        onnx.save(packed, str(partial))
        partial.replace(target)
        (MODEL / "model.json").write_text(json.dumps(describe(options.revision, target.name), indent=2) + "\n")
        print(f"{target.name}: {target.stat().st_size:,} bytes")
