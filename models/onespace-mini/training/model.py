"""One transformer for text, pictures and clips.

Everything is a sequence: token ids and 16x16 RGB patches become vectors of the
same width, each with its place, and pass together through the same layers
(Vaswani et al. 2017, arXiv:1706.03762; pre-norm as in Xiong et al. 2020,
arXiv:2002.04745; patches as in ViT, Dosovitskiy et al. 2021, arXiv:2010.11929).
The mean of what comes out, projected to 256 numbers of norm 1, is the embedding.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

VOCABULARY = 24_000
WIDTH = 256
LAYERS = 6
HEADS = 4
EMBEDDING = 256
PATCH_BYTES = 16 * 16 * 3


class Fourier(nn.Module):
    """Real-valued places as sines and cosines of log-spaced wavelengths, then
    mixed linearly (Tancik et al. 2020, arXiv:2006.10739). Having no table, it
    places what lies between, or a little beyond, the places seen in training.
    """

    def __init__(self, wavelengths, width):
        """wavelengths: one list per coordinate."""
        super().__init__()
        longest = max(map(len, wavelengths))
        frequency = torch.zeros(len(wavelengths), longest)
        for row, lengths in enumerate(wavelengths):
            frequency[row, : len(lengths)] = 2 * math.pi / torch.tensor(lengths)
        self.register_buffer("frequency", frequency, persistent=False)
        self.mix = nn.Linear(2 * frequency.numel(), width)

    def forward(self, place):
        """[B, L, coordinates] -> [B, L, width]"""
        angle = (place.unsqueeze(-1) * self.frequency).reshape(place.shape[0], -1, self.frequency.numel())
        return self.mix(torch.cat([angle.sin(), angle.cos()], -1))


class PatchStem(nn.Module):
    """A patch seen at three scales: 4x4 pixels, 8x8, 16x16, like a small
    convolutional stem that never looks outside its patch (Xiao et al. 2021,
    arXiv:2106.14881, on why early convolutions help transformers see).
    """

    def __init__(self, width):
        super().__init__()
        self.fine = nn.Linear(4 * 4 * 3, 96)
        self.middle = nn.Linear(4 * 96, 192)
        self.coarse = nn.Linear(4 * 192, width)

    def forward(self, patches):
        """[B, L, 768] pixels 0..255 -> [B, L, width]"""
        batch = patches.shape[0]
        x = patches * (2 / 255) - 1
        # row = 8 Y + 4 y + i, column = 8 X + 4 x + j
        x = x.reshape(-1, 2, 2, 4, 2, 2, 4, 3)  # patch, Y, y, i, X, x, j, colour
        x = x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, 4, 4, 48)  # patch, (Y, X), (y, x), (i, j, colour)
        x = F.gelu(self.fine(x)).reshape(-1, 4, 4 * 96)
        x = F.gelu(self.middle(x)).reshape(-1, 4 * 192)
        return self.coarse(x).reshape(batch, -1, self.coarse.out_features)


class Block(nn.Module):
    """Attention, then a feed-forward layer, each added to its input."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, bias):
        """x [B, L, D]; bias [B, 1, 1, L] is -10000 where a position is padding, or None."""
        batch, length, width = x.shape
        split = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, L, D / heads]
        score = torch.matmul(q * (width // self.heads) ** -0.5, k.transpose(-1, -2))
        if bias is not None:
            score = score + bias
        mixed = torch.matmul(score.softmax(-1), v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(mixed)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class OneSpace(nn.Module):
    def __init__(self, layers=LAYERS):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, WIDTH)
        self.order = Fourier([[4.0 * 2**k for k in range(6)]], WIDTH)  # 4 to 128 tokens
        self.stem = PatchStem(WIDTH)
        seconds = [0.5 * 2**k for k in range(8)]  # 0.5 to 64 s
        side = [0.125 * 2**k for k in range(5)]  # an eighth of the frame to twice the frame
        self.place = Fourier([seconds, side, side], WIDTH)
        self.modality = nn.Embedding(2, WIDTH)  # text, pixels
        self.norm_in = nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList([Block(WIDTH, HEADS) for _ in range(layers)])
        self.norm_out = nn.LayerNorm(WIDTH)
        self.project = nn.Linear(WIDTH, EMBEDDING, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))  # of the contrastive loss alone
        self._initialise()

    def _initialise(self):
        """1/sqrt(fan-in); branches that add to the residual stream start smaller, the more layers the smaller."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for block in self.blocks:
            for branch in (block.out, block.down):
                with torch.no_grad():
                    branch.weight.mul_((2 * len(self.blocks)) ** -0.5)
        with torch.no_grad():  # places must be loud enough to be heard beside the pixels, and quieter beside words
            self.place.mix.weight.mul_(0.8)
            self.order.mix.weight.mul_(0.02)

    def embed_text(self, ids):
        """[B, Lt] -> [B, Lt, D]"""
        index = torch.arange(ids.shape[1], device=ids.device, dtype=torch.float32)
        return self.token(ids) + self.order(index.view(1, -1, 1)) + self.modality.weight[0]

    def embed_patches(self, patches, positions):
        """[B, Lp, 768], [B, Lp, 3] -> [B, Lp, D]"""
        return self.stem(patches.float()) + self.place(positions) + self.modality.weight[1]

    def encode(self, x, mask=None):
        """[B, L, D] and its mask [B, L] (1 = real) -> unit vectors [B, 256]"""
        bias = None if mask is None else ((mask - 1) * 10_000)[:, None, None, :]
        x = self.norm_in(x)
        for block in self.blocks:
            x = block(x, bias)
        x = self.norm_out(x).float()
        pooled = x.mean(1) if mask is None else (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        with torch.autocast(x.device.type, enabled=False):
            return F.normalize(self.project(pooled), dim=-1, eps=1e-6)

    def text(self, ids):
        """Padding is id 0."""
        return self.encode(self.embed_text(ids), (ids != 0).float())

    def pixels(self, patches, positions, mask=None):
        return self.encode(self.embed_patches(patches, positions), mask)

    def forward(self, input_ids, text_mask, patches, positions, patch_mask):
        x = torch.cat([self.embed_text(input_ids), self.embed_patches(patches, positions)], 1)
        return self.encode(x, torch.cat([text_mask, patch_mask], 1))


def depth(state):
    """Layers of a state dict."""
    return 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))


def deepened(state, layers):
    """The state dict with new layers spread evenly among its own, which at first add nothing (Net2Net, Chen et al. 2015,
    arXiv:1511.05641): the deeper model starts with the same vectors."""
    old = depth(state)
    origin = [k * old // layers for k in range(layers)]  # new layer k is, or is made from, old layer origin[k]
    made = {name: value for name, value in state.items() if not name.startswith("blocks.")}
    for k, source in enumerate(origin):
        for name, value in state.items():
            if not name.startswith(f"blocks.{source}."):
                continue
            part = name.split(".", 2)[2]
            silent = k > 0 and origin[k - 1] == source and part.split(".")[0] in ("out", "down")
            made[f"blocks.{k}.{part}"] = torch.zeros_like(value) if silent else value.clone()
    return made
