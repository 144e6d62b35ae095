"""Writes what is shipped: weights.bin, the two graphs that read it, and model.json.

    python3 export.py                      int8 weights (about 12 MB)
    python3 export.py --weights float32    for comparing with PyTorch

Large matrices are stored once, as int8 with one scale per output channel, and
both graphs share them:

    model.fp32.onnx   a DequantizeLinear node opens each matrix, which ONNX Runtime
                      folds into a plain one when it loads the model: exact arithmetic
    model.q8.onnx     activations become 8-bit integers too, with a scale found anew in
                      each batch, and meet the matrices in integer products

Both open only those rows of the table of tokens that a batch asks for.
"""

import argparse
import copy
import hashlib
import inspect
import json
import pathlib

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from model import EMBEDDING, VOCABULARY, OneSpace, depth

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent
INPUTS = ["input_ids", "text_mask", "patches", "positions", "patch_mask"]
LAST_AXIS = "last_axis"
SMALLEST = 4096  # numbers; smaller tensors stay float32


def load_model(checkpoint):
    state = torch.load(checkpoint, map_location="cpu")["model"]
    model = OneSpace(depth(state))
    model.load_state_dict(state)
    return model.eval()


def trace(model, path):
    """PyTorch -> ONNX with every length free."""
    batch, text, patches = 2, 5, 7
    example = (
        torch.randint(2, VOCABULARY, (batch, text)),
        torch.ones(batch, text),
        torch.randint(0, 256, (batch, patches, 768), dtype=torch.uint8),
        torch.rand(batch, patches, 3),
        torch.ones(batch, patches),
    )
    free = {name: {0: "batch", 1: "text" if name in ("input_ids", "text_mask") else "patches"} for name in INPUTS}
    free["embedding"] = {0: "batch"}
    # newer versions of PyTorch have a second exporter and prefer it; this one is in all of them
    tracing = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(model, example, str(path), input_names=INPUTS, output_names=["embedding"], dynamic_axes=free, opset_version=17, do_constant_folding=True, **tracing)
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


class Weights:
    """The large matrices of a graph as int8, in one file that several graphs read."""

    def __init__(self, graph):
        self.axis, self.packed, self.scale = {}, {}, {}
        for name, (weight, axis) in matrices(graph).items():
            self.axis[name] = axis
            self.packed[name], self.scale[name] = quantised(weight, axis)

    def write(self, path):
        """One matrix after another."""
        with open(path, "wb") as file:
            for packed in self.packed.values():
                file.write(packed.tobytes())

    def tensors(self, location):
        """The matrices as tensors whose bytes lie in the file `location`, and their scales and zero points."""
        offset = 0
        for name, packed in self.packed.items():
            tensor = onnx.TensorProto(name=f"{name}.int8", data_type=onnx.TensorProto.INT8, dims=packed.shape)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", location), ("offset", offset), ("length", packed.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            offset += packed.nbytes
            yield tensor
            yield numpy_helper.from_array(self.scale[name], f"{name}.scale")
            yield numpy_helper.from_array(np.zeros(self.scale[name].shape, np.int8), f"{name}.zero")


def looked_up(node):
    """Gather(table, ids) with the table as int8: float32 rows, of those asked for alone."""
    table, ids, y = node.input[0], node.input[1], node.output[0]
    yield helper.make_node("Gather", [f"{table}.int8", ids], [f"{y}.int8"])
    yield helper.make_node("Gather", [f"{table}.scale", ids], [f"{y}.scale"])
    yield helper.make_node("Unsqueeze", [f"{y}.scale", LAST_AXIS], [f"{y}.scales"])
    yield helper.make_node("Cast", [f"{y}.int8"], [f"{y}.rows"], to=onnx.TensorProto.FLOAT)
    yield helper.make_node("Mul", [f"{y}.rows", f"{y}.scales"], [y])


def opened(name, axis):
    return helper.make_node("DequantizeLinear", [f"{name}.int8", f"{name}.scale", f"{name}.zero"], [name], axis=axis)


def integer_product(node, quantised_inputs):
    """MatMul(x, w) with w as int8 and x as uint8, whose scale is that of the whole batch: the
    nodes that ONNX Runtime fuses into one DynamicQuantizeMatMul."""
    x, w, y = node.input[0], node.input[1], node.output[0]
    if x not in quantised_inputs:
        quantised_inputs.add(x)
        yield helper.make_node("DynamicQuantizeLinear", [x], [f"{x}.uint8", f"{x}.scale", f"{x}.zero"])
    yield helper.make_node("MatMulInteger", [f"{x}.uint8", f"{w}.int8", f"{x}.zero", f"{w}.zero"], [f"{y}.int32"])
    yield helper.make_node("Cast", [f"{y}.int32"], [f"{y}.sum"], to=onnx.TensorProto.FLOAT)
    yield helper.make_node("Mul", [f"{x}.scale", f"{w}.scale"], [f"{y}.scale"])
    yield helper.make_node("Mul", [f"{y}.sum", f"{y}.scale"], [y])


def compressed(model, weights, location, integers):
    """The graph with its large matrices in `location`; with `integers`, it also multiplies in integers."""
    model = copy.deepcopy(model)
    graph = model.graph
    products = {n.input[1] for n in graph.node if n.op_type == "MatMul"} & set(weights.axis) if integers else set()
    tables = {n.input[0] for n in graph.node if n.op_type == "Gather"} & set(weights.axis)
    nodes, inputs = [opened(name, axis) for name, axis in weights.axis.items() if name not in products | tables], set()
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in products:
            nodes.extend(integer_product(node, inputs))
        elif node.op_type == "Gather" and node.input[0] in tables:
            nodes.extend(looked_up(node))
        else:
            nodes.append(node)
    kept = [t for t in graph.initializer if t.name not in weights.axis]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    stored = [t for t in weights.tensors(location) if t.name not in {f"{table}.zero" for table in tables}]
    graph.initializer.extend([*kept, *stored, numpy_helper.from_array(np.array([-1]), LAST_AXIS)])
    return model


def write(path, model):
    """Never half a file under the final name."""
    partial = path.with_suffix(".partial")
    onnx.save(model, str(partial))
    partial.replace(path)


GRAPHS = {"fp32": "model.fp32.onnx", "q8": "model.q8.onnx"}
WEIGHTS = "weights.bin"


def files_of(folder, names):
    """Size and checksum of each file, as model.json states them."""
    files = {}
    for name in names:
        data = (folder / name).read_bytes()
        files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return files


def describe(revision):
    """model.json: what the service needs to know."""
    return {
        "name": "onespace-mini",
        "revision": revision,
        "family": "unified",
        "dim": EMBEDDING,
        "matryoshka": [256, 128, 64],
        "licence": "Apache-2.0",
        "description": "Text, images and video in one space: a small transformer trained on pictograms, animations and photographs, with words in ten languages.",
        "files": files_of(MODEL, (*GRAPHS.values(), WEIGHTS, "tokenizer.json")),
        "graphs": GRAPHS,
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
        weights = Weights(traced.graph)
        weights.write(MODEL / WEIGHTS)
        for dtype, name in GRAPHS.items():
            write(MODEL / name, compressed(traced, weights, WEIGHTS, integers=dtype == "q8"))
        (MODEL / "model.json").write_text(json.dumps(describe(options.revision), indent=2) + "\n")
        for name in (*GRAPHS.values(), WEIGHTS):
            print(f"{name}: {(MODEL / name).stat().st_size:,} bytes")
