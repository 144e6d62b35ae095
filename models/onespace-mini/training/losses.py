"""Contrastive losses: what belongs together is close, everything else in the batch is not.

InfoNCE (van den Oord et al. 2018, arXiv:1807.03748) as in CLIP (Radford et al.
2021, arXiv:2103.00020), at several embedding lengths at once (Matryoshka,
Kusupati et al. 2022, arXiv:2205.13147).
"""

import torch
import torch.nn.functional as F

LENGTHS = {256: 0.6, 128: 0.25, 64: 0.15}


def find(queries, targets, scale, answer):
    """Each query must find targets[answer]: [n, D], [m, D], [n] -> scalar."""
    total = 0.0
    for length, weight in LENGTHS.items():
        q, t = queries[:, :length], targets[:, :length]
        if length < queries.shape[1]:
            q, t = F.normalize(q, dim=-1), F.normalize(t, dim=-1)
        total = total + weight * F.cross_entropy(scale * q @ t.t(), answer)
    return total


def resemble(queries, targets, scale, shares):
    """Each query must divide itself among the targets as its shares say: [n, D], [m, D], [n, m] -> scalar; queries
    whose shares are all zero are left out."""
    asked = shares.any(1).float().sum().clamp(min=1)
    total = 0.0
    for length, weight in LENGTHS.items():
        q, t = queries[:, :length], targets[:, :length]
        if length < queries.shape[1]:
            q, t = F.normalize(q, dim=-1), F.normalize(t, dim=-1)
        total = total - weight * (shares * (scale * q @ t.t()).log_softmax(1)).sum() / asked
    return total


def follow(words, targets, pictures, scale):
    """Each word must lie where its target does, and find in any pictures what its target finds: [n, D], [n, D], [m, D] ->
    scalar, one minus the cosine. The losses above are content once no other target is nearer to a word; what then still lies
    between the two is enough to keep the word from its target's pictures."""
    targets, pictures = F.normalize(targets.detach(), dim=-1), pictures.detach()
    found = resemble(words, pictures, scale, (scale * targets @ pictures.t()).softmax(1).detach())
    apart = (1 - (words * targets).sum(1)).mean()
    return 8 * apart + 0.5 * found, apart


def gather(queries, targets, scale, belongs):
    """Each query must find every target that belongs to it: [n, D], [m, D], bool [n, m] -> scalar
    (Khosla et al. 2020, arXiv:2004.11362)."""
    return resemble(queries, targets, scale, belongs.float() / belongs.sum(1, keepdim=True).clamp(min=1))


def match(a, b, scale):
    """Row k of a belongs to row k of b, both ways."""
    answer = torch.arange(len(a), device=a.device)
    return (find(a, b, scale, answer) + find(b, a, scale, answer)) / 2


def tell_apart(items, words, scale):
    """The two halves are opposites, row by row: each item must prefer its own words. -> loss, share that do"""
    opposite = words.roll(len(words) // 2, 0)
    margin = scale * ((items * words).sum(1) - (items * opposite).sum(1))
    return F.softplus(-margin).mean(), (margin > 0).float().mean()


def lean(items, words, scale):
    """As `tell_apart`, for pairs that all differ by the same two words (the first half by one, the second by the other),
    along the direction in which these differ, however little. Words that nothing tells apart yet lie so close together
    that their difference pulls at no picture, so that nothing ever comes to tell them apart; its direction does pull."""
    half = len(items) // 2
    axis = F.normalize((words[:half] - words[half:]).mean(0).detach(), dim=0)
    return F.softplus(-scale * (items[:half] - items[half:]) @ axis).mean()
