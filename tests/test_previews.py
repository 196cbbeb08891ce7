"""Previews and trackers: what they write, when, and that training is the same with them."""

from dataclasses import replace

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from accelerate.tracking import GeneralTracker
from PIL import Image
from small_training import IDS, SETTINGS, own_text, same, weights

from tradeoffs import packages
from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.config.paths import missing_paths
from tradeoffs.config.schema import Config
from tradeoffs.errors import InputError
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import load
from tradeoffs.model.trackers import tracker_of
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.model.training_progress import Onlookers
from tradeoffs.model.validation import ValidationImages
from tradeoffs.paper.previews import Previews, preview

CONFIG = {
    "sampling": {"scheduler": "dpm", "guidance": 4.0, "steps": 2, "precision": "fp32", "images": 9},
    "heat_maps": {"steps": 3, "keep": 2, "batch_size": 4, "precision": "fp32", "shards": 1},
}


@pytest.fixture(autouse=True)
def forget_precision():
    """Accelerate keeps the first precision for the whole process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def train(tiny_base, tiny_latents, tmp_path):
    """Trains the tiny base with onlookers; returns its weights."""

    def run(folder, settings, onlookers=lambda model: Onlookers()):
        model = load(tiny_base)
        owner = RunFolder(tmp_path / folder, "this run")
        pairs = Pairs(IDS, own_text)
        fine_tune(model, pairs, tiny_latents, True, settings, 0, owner, lambda step: None, onlookers=onlookers(model))
        return weights(model)

    return run


def test_previews_are_drawn_at_their_pace_and_leave_no_trace(train, tmp_path):
    for name in ("a", "b"):
        Image.fromarray(np.full((64, 64), 99, np.uint8)).save(tmp_path / f"{name}.png")
    images = ValidationImages(["a", "b"], [str(tmp_path / f"{name}.png") for name in "ab"], ["mild edema", ""])
    settings, folder = replace(SETTINGS, steps=3, preview_every=2), tmp_path / "p"
    drawn = train("with", settings, lambda model: Onlookers(preview=Previews(model, images, 64, folder, CONFIG)))
    assert same(drawn, train("without", settings))
    assert sorted(path.name for path in folder.iterdir()) == [f"step{n:08d}.png" for n in (0, 2, 3)]
    pictures = [(folder / f"step{n:08d}.png").read_bytes() for n in (0, 3)]
    assert pictures[0] != pictures[1] and Image.open(folder / "step00000003.png").width > 500


def test_a_preview_has_image_mean_heat_map_and_sample():
    heat = np.array([[[0.0, 0.0], [0.0, 2.0]], [[0.0, 2.0], [0.0, 2.0]]], np.float32)
    maps = TokenHeatMaps("a", "mild edema", ["mild", "edema"], np.array([[0, 4], [5, 10]]), heat, 10)
    grey, black = np.full((2, 2, 3), 0.5), np.zeros((2, 2, 3))
    image, overlay, sample = preview([grey], [maps], [black], 7).axes
    assert image.images[0].get_array().max() == 0.5 and sample.images[0].get_array().max() == 0
    assert np.allclose(overlay.images[1].get_array(), [[0, 0.5], [0, 1]])  # mean of the tokens, scaled to 0..1


class _Tracker(GeneralTracker):
    """Keeps what it is given."""

    name, requires_logging_directory = "kept", False

    def __init__(self, step):
        super().__init__(_blank=True)
        self.main_process_only, self.step, self.values, self.ended = True, step, [], False

    def log(self, values, step=None, **kwargs):
        self.values.append((step, values))

    def finish(self):
        self.ended = True


def test_a_tracker_gets_the_rows_of_the_log_and_is_closed(train):
    trackers = []

    def start(step):
        trackers.append(_Tracker(step))
        return trackers[-1]

    validation = [{"step": 0, "weights": "raw", "validation_loss": 0.5, "images": 1}]
    settings = replace(SETTINGS, steps=3, log_every=2, checkpoint_every=9)
    onlookers = Onlookers(validation=lambda trainer, step: validation, tracker=start)
    assert same(train("tracked", settings, lambda model: onlookers), train("plain", settings))
    (tracker,) = trackers
    assert tracker.step == 0 and tracker.ended
    assert [(step, sorted(values)) for step, values in tracker.values] == [
        (0, ["validation loss (raw)"]),
        (2, ["learning_rate", "loss"]),
        (3, ["learning_rate", "loss"]),
        (3, ["validation loss (raw)"]),
    ]


def test_a_missing_tracker_is_said_before_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    problem = "the Python package tensorboard is not installed; pip install tensorboard, or set the key to null"
    config = Config.model_validate({"data": {"source": "phantoms"}, "training": {"log_with": "tensorboard"}})
    assert f"training.log_with: {problem}" in [str(fault) for fault in missing_paths(config)]
    variants = {"frozen": {"training": {"log_with": "tensorboard"}}}
    config = Config.model_validate({"data": {"source": "phantoms"}, "variants": variants})
    assert f"variants.frozen.training.log_with: {problem}" in [str(fault) for fault in missing_paths(config)]
    with pytest.raises(InputError, match="tensorboard is not installed"):
        tracker_of("tensorboard", tmp_path)
    assert tracker_of(None, tmp_path) is None


def test_tensorboard_gets_a_file_of_its_own(tmp_path):
    pytest.importorskip("tensorboard")
    tracker = tracker_of("tensorboard", tmp_path)(0)
    tracker.log({"loss": 0.5}, step=1)
    tracker.finish()
    assert [path.parent for path in tmp_path.rglob("events.*")] == [tmp_path / "tensorboard"]
