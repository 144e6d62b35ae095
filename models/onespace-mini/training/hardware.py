"""What the training runs on."""

import pathlib

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def multiplies_bfloat16():
    """Whether this processor multiplies matrices of bfloat16 itself; one that does not is a dozen times slower at them
    than at float32."""
    if DEVICE == "cuda":
        return torch.cuda.is_bf16_supported()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    return cpuinfo.exists() and any(flag in cpuinfo.read_text() for flag in ("avx512_bf16", "amx_bf16"))


BFLOAT16 = multiplies_bfloat16()
