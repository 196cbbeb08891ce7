"""Accuracy against interpretability in fine-tuned latent diffusion models (Dombrowski et al., AAAI 2024)."""

import gc
import os
import sys

# Jobs never go to the network: a hub model is downloaded by a local rule, which lifts this for its one command. Here,
# because the Snakefile imports the package too, and jobs take over its environment.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
# transformers warns in every job of image processors, which nothing here uses.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
# Progress bars redraw ten times a second on a terminal; in a log that would be a line each time.
if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_MININTERVAL", "10")
# Imports make many objects that stay, and looking for garbage among them takes a third of a job's start. In jobs, which
# `tradeoffs.packages.known_to_jobs` marks, it begins with their work (`tradeoffs.jobs.job`).
if "TRADEOFFS_JOB" in os.environ:
    gc.disable()
