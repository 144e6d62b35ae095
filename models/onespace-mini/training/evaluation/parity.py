"""Writes work/parity.json: inputs of every kind and what PyTorch makes of them,
for parity.mjs to compare with ONNX Runtime."""

import argparse
import json

import torch

from export import HERE, load_model
from model import VOCABULARY


def case(model, name, batch, text, patches, frames=1, pad=False):
    ids = torch.randint(2, VOCABULARY, (batch, text))
    text_mask, patch_mask = torch.ones(batch, text), torch.ones(batch, patches)
    pixels = torch.randint(0, 256, (batch, patches, 768), dtype=torch.uint8)
    positions = torch.rand(batch, patches, 3) * torch.tensor([8.0 * (frames > 1), 1, 1])
    if pad:  # scattered padding, different in every row
        text_mask[:, 1:] = (torch.rand(batch, text - 1) > 0.4).float() if text > 1 else text_mask[:, 1:]
        patch_mask[:, 1:] = (torch.rand(batch, patches - 1) > 0.4).float() if patches > 1 else patch_mask[:, 1:]
    with torch.no_grad():
        expected = model(ids, text_mask, pixels, positions, patch_mask)
        # the same without its padding must be the same vector
        bare = [
            model(ids[b : b + 1, text_mask[b] > 0], text_mask[b : b + 1, text_mask[b] > 0], pixels[b : b + 1, patch_mask[b] > 0],
                  positions[b : b + 1, patch_mask[b] > 0], patch_mask[b : b + 1, patch_mask[b] > 0]) for b in range(batch)
        ] if pad == "end" else None
    if bare:
        assert (torch.cat(bare) - expected).abs().max() < 1e-5
    flat = lambda x: x.flatten().tolist()
    return {"name": name, "batch": batch, "text": text, "patches": patches, "ids": flat(ids), "textMask": flat(text_mask),
            "pixels": flat(pixels), "positions": flat(positions), "patchMask": flat(patch_mask), "expected": flat(expected)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default=str(HERE / "work" / "run.pt"))
    torch.manual_seed(0)
    model = load_model(parser.parse_args().checkpoint)
    cases = [
        case(model, "text", 2, 7, 0),
        case(model, "text, 64 tokens", 1, 64, 0),
        case(model, "picture 4x4", 1, 0, 16),
        case(model, "picture 256x256", 1, 0, 256),
        case(model, "clip of 32 frames", 1, 0, 512, frames=32),
        case(model, "text and picture", 2, 6, 16),
        case(model, "text and picture, padding", 3, 9, 20, pad=True),
        case(model, "batch of 8, padding", 8, 12, 40, frames=4, pad=True),
    ]
    (HERE / "work" / "parity.json").write_text(json.dumps(cases))
