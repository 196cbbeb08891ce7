"""Speed and memory of this workflow against plain implementations of the original's procedures (see README.md)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow_scripts"))
