"""The shipped weights as a checkpoint, for a run that goes on from them where no checkpoint is left.

    python3 -m checkpoints.restore                                 work/shipped.pt
    python3 train.py --begin-with work/shipped.pt      a new run: optimizers and schedule start afresh
"""

import argparse
import math

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from export import GRAPHS, HERE, MODEL, trace
from model import OneSpace

START_LOG_SCALE = math.log(50.0)  # about where the shipped run had come to
LESSON = 1.0  # in turning: the shipped run had been through them all


def shipped_tensors():
    """{name in the graph: array}, the int8 matrices opened to float32."""
    graph = onnx.load(str(MODEL / GRAPHS["fp32"])).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            packed, scale = (values[name] for name in node.input[:2])
            axis = next(a.i for a in node.attribute if a.name == "axis")
            shape = [-1 if d == axis else 1 for d in range(packed.ndim)]
            values[node.output[0]] = packed.astype(np.float32) * scale.reshape(shape)
        elif node.op_type == "Gather" and node.input[0].endswith(".int8"):  # the table of tokens
            table = node.input[0].removesuffix(".int8")
            values[table] = values[f"{table}.int8"].astype(np.float32) * values[f"{table}.scale"][:, None]
    return values


def restored(layers):
    """A model with the shipped weights. Tracing renames, transposes and cuts tensors, so a model of random numbers, traced
    the same way, tells which tensor of the graph is which parameter."""
    model = OneSpace(layers)
    with torch.no_grad():
        for parameter in model.parameters():  # tensors that are equal would become one
            parameter.normal_()
    path = HERE / "work" / "names.onnx"
    values = {t.name: numpy_helper.to_array(t) for t in trace(model, path).graph.initializer}
    path.unlink()
    shipped = shipped_tensors()

    def find(wanted):
        found = [name for name, value in values.items() if np.array_equal(value, wanted)]
        return shipped[found[0]] if found else None

    state = model.state_dict()
    state["log_scale"] = torch.tensor(START_LOG_SCALE)  # of the loss alone: it is not in the graph
    for name in state.keys() - {"log_scale"}:
        wanted = state[name].numpy()
        value = find(wanted) if wanted.ndim == 1 or (value := find(wanted.T)) is None else value.T
        if value is None:  # a small table whose rows became constants
            value = np.stack([find(row) for row in wanted])
        state[name] = torch.from_numpy(value.copy())
    model.load_state_dict(state)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--output", default=str(HERE / "work" / "shipped.pt"))
    options = parser.parse_args()
    torch.save({"model": restored(options.layers).state_dict(), "step": 0, "seconds": 0.0, "lesson": LESSON}, options.output)
