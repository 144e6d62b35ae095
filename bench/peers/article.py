"""A server to compare with: FastAPI and PyTorch in one event loop, one forward pass per request. It has the
architecture (from the training code) and the input sizes of the bundled model; the weights are those of the training
checkpoint where there is one, or else random, because speed does not depend on them.

    apt-get install python3-torch python3-fastapi python3-uvicorn python3-pil
    python3 bench/peers/article.py 8123
"""

import io
import pathlib
import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image

TRAINING = pathlib.Path(__file__).resolve().parents[2] / "models" / "onespace-mini" / "training"
sys.path.insert(0, str(TRAINING))
from model import OneSpace  # noqa: E402
from tokenizer.encoder import Tokenizer  # noqa: E402

SIDE, PATCH = 64, 16

app = FastAPI()
tokenizer = Tokenizer(TRAINING.parent / "tokenizer.json")
model = OneSpace().eval()
checkpoint = TRAINING / "work" / "run.pt"
if checkpoint.exists():
    model.load_state_dict(torch.load(checkpoint, map_location="cpu")["model"])


def reply(vector, modality):
    return {"embedding": vector[0].tolist(), "dim": vector.shape[1], "modal_type": modality}


@app.post("/embed/text")
async def embed_text(request: Request):
    ids = torch.tensor([tokenizer.encode((await request.json())["text"])[:64]])
    with torch.no_grad():
        return reply(model.text(ids), "text")


@app.post("/embed/image")
async def embed_image(request: Request):
    image = Image.open(io.BytesIO(await request.body())).convert("RGB")
    scale = SIDE / max(image.size)
    width, height = (max(PATCH, round(side * scale / PATCH) * PATCH) for side in image.size)
    pixels = np.asarray(image.resize((width, height), Image.BICUBIC))
    rows, columns = height // PATCH, width // PATCH
    patches = pixels.reshape(rows, PATCH, columns, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(1, rows * columns, -1)
    longer = max(rows, columns)
    positions = [[0, (r + 0.5) / longer, (c + 0.5) / longer] for r in range(rows) for c in range(columns)]
    with torch.no_grad():
        return reply(model.pixels(torch.from_numpy(patches.copy()), torch.tensor([positions])), "image")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
