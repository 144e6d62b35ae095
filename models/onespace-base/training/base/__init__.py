"""Training of onespace-base. What it shares with onespace-mini is imported from there."""

import pathlib
import sys

MINI = pathlib.Path(__file__).resolve().parents[3] / "onespace-mini" / "training"
sys.path.insert(0, str(MINI))
