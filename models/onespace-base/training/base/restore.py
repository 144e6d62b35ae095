"""The shipped weights as a checkpoint, from which training goes on or which is exported again.

    python -m base.restore --weights WEIGHTS --output work/shipped.pt
    python -m base.train --begin-with work/shipped.pt ...
    python -m base.export --checkpoint work/shipped.pt --revision 1      writes the very same weights

The graphs name some matrices by number only, so which is which is found out by exporting a model whose every number is known.
What was folded into the convolutions is taken apart by the batch norms of ImageNet, which training left as they were but for
their scale and shift; how it divided a scale between the two is not known any more, and does not matter.
"""

import argparse
import pathlib

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer

from base.export import GRAPHS, MODEL, STEM, TOKENIZER, fold, trace
from base.model import Convolution, OneSpace, convolution_weights

SMALLEST_GAIN = 1e-6  # of a channel that the classifier has left unused


def shipped_values(path):
    """{name: numbers} of a graph's weights, the int8 ones opened."""
    graph = onnx.load(str(path)).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    axes = {n.output[0]: n.attribute[0].i for n in graph.node if n.op_type == "DequantizeLinear"}
    opened = {name: v for name, v in values.items() if v.dtype == np.float32 and not name.endswith(".scale")}
    for packed in (name for name in values if name.endswith(".int8")):
        name = packed.removesuffix(".int8")
        axis = axes.get(name, 0)  # the table of tokens is opened row by row
        shape = [-1 if d == axis else 1 for d in range(values[packed].ndim)]
        opened[name] = values[packed].astype(np.float32) * values[f"{name}.scale"].reshape(shape)
    return opened


def known_model(vocabulary):
    """A folded model of which no two numbers are alike."""
    torch.manual_seed(0)
    model = fold(OneSpace(vocabulary).eval())
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape))
    return model


def placed(value, parameters):
    """Which parameter a weight of the graph is, and how to put such a weight into it."""
    for name, p in parameters.items():
        if p.shape == value.shape and np.array_equal(p, value):
            return name, ()
        if p.ndim == 2 and p.T.shape == value.shape and np.array_equal(p.T, value):
            return name, ("T",)
        if p.ndim == 2 and len(p) < 10 and value.shape == p.shape[1:]:
            for row in range(len(p)):
                if np.array_equal(p[row], value):
                    return name, (row,)
    return None, None


def read_shipped(vocabulary):
    """The parameters of the folded model, from the shipped graphs."""
    known = known_model(vocabulary)
    parameters = {name: p.detach().numpy() for name, p in known.named_parameters()}
    state = {name: np.full(p.shape, np.nan, np.float32) for name, p in parameters.items()}
    for made, path in zip(trace(known), (MODEL / STEM, MODEL / GRAPHS["fp32"])):
        shipped = shipped_values(path)
        for tensor in made.graph.initializer:
            name, how = placed(numpy_helper.to_array(tensor), parameters)
            if name is None or tensor.name not in shipped:
                continue
            if how == ("T",):
                state[name][...] = shipped[tensor.name].T
            else:
                state[name][how] = shipped[tensor.name]
    missing = [name for name, value in state.items() if np.isnan(value).any()]
    assert not missing, f"not found in the graphs: {missing}"
    return {name: torch.from_numpy(value) for name, value in state.items()}


def unfold(state, lite, model):
    """The state of a model with batch norms that computes the same."""
    norms, _ = convolution_weights(lite)
    for name, module in model.stem.convolutions.named_modules():
        if not isinstance(module, Convolution):
            continue
        own = f"stem.convolutions.{name}"
        norm = {part: norms[f"{name}.norm.{part}"] for part in ("weight", "bias", "running_mean", "running_var")}
        gain = norm["weight"] / (norm["running_var"] + module.norm.eps).sqrt()
        gain = torch.where(gain.abs() < SMALLEST_GAIN, torch.full_like(gain, SMALLEST_GAIN), gain)
        state[f"{own}.conv.weight"] = state[f"{own}.conv.weight"] / gain.view(-1, 1, 1, 1)
        norm["bias"] = state.pop(f"{own}.conv.bias") + norm["running_mean"] * gain
        norm["weight"] = gain * (norm["running_var"] + module.norm.eps).sqrt()
        state |= {f"{own}.norm.{part}": value for part, value in norm.items()}
    return state


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True, help="the folder with lite0.pth")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    vocabulary = Tokenizer.from_file(str(MODEL / TOKENIZER)).get_vocab_size()
    lite = torch.load(pathlib.Path(options.weights) / "lite0.pth", map_location="cpu")
    model = OneSpace(vocabulary)
    missing = model.load_state_dict(unfold(read_shipped(vocabulary), lite, model), strict=False)
    assert not missing.unexpected_keys and all("num_batches" in name for name in missing.missing_keys), missing
    torch.save({"average": {f"model.{name}": value for name, value in model.state_dict().items()}}, options.output)


if __name__ == "__main__":
    main()
