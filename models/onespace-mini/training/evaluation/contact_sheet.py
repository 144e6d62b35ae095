"""Draws ../photos.png: what the model finds among the held-out photos of Caltech-101 (CC BY 4.0).

    python3 -m evaluation.contact_sheet --checkpoint work/run.pt
"""

import argparse

import torch
from PIL import Image, ImageDraw, ImageFont

from evaluation.evaluate import Encoder, as_shipped
from evaluation.evaluate_photos import embed
from export import HERE, MODEL, load_model
from hardware import DEVICE
from inputs.photos import Album

QUERIES = ["airplane", "a motorcycle", "蝴蝶", "sunflower", "grand piano", "a sailing ship", "豹子", "panda", "chair", "手表",
           "a dog", "bird", "花", "dinosaur", "people", "musical instrument", "动物", "umbrella", "strawberry", "helicopter"]
FONTS = ["/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc", "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"]
SIDE, NAME, TOP, COLUMNS = 64, 150, 5, 2


def font(size=16):
    for path in FONTS:
        try:
            return ImageFont.truetype(path, size)
        except OSError:
            continue
    raise SystemExit("Drawing Chinese needs a font: apt-get install fonts-wqy-zenhei")


def thumbnail(photos, k):
    """[S, S, 3] squeezed square -> a picture in its own proportions, at most SIDE pixels a side."""
    aspect = float(photos.aspects[k])
    size = (SIDE, max(1, round(SIDE / aspect))) if aspect >= 1 else (max(1, round(SIDE * aspect)), SIDE)
    return Image.fromarray(photos.pixels[k].cpu().numpy()).resize(size, Image.LANCZOS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default=str(HERE / "work" / "run.pt"))
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    encoder = Encoder(as_shipped(load_model(options.checkpoint)))
    photos = Album(DEVICE, training=False).unseen
    found = (encoder.texts(QUERIES) @ embed(encoder, photos).t()).topk(TOP, dim=1).indices.tolist()
    rows = -(-len(QUERIES) // COLUMNS)
    width, height = NAME + TOP * (SIDE + 4), SIDE + 6
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    draw, face = ImageDraw.Draw(sheet), font()
    for q, (query, hits) in enumerate(zip(QUERIES, found)):
        x, y = q // rows * width, q % rows * height
        draw.text((x + 6, y + SIDE // 2 - 8), query, "black", font=face)
        for n, k in enumerate(hits):
            sheet.paste(thumbnail(photos, k), (x + NAME + n * (SIDE + 4), y + 3))
    sheet.quantize(192).save(MODEL / "photos.png", optimize=True)


if __name__ == "__main__":
    main()
