import numpy as np
import pytest
import torch
from PIL import Image

from tradeoffs.data.image_files import ImageFiles, batches
from tradeoffs.errors import InputError


def test_image_files_give_the_pixels_of_the_file(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    colour = np.stack([pixels, pixels.T, 255 - pixels], axis=-1)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    files = ImageFiles([tmp_path / "grey.png", tmp_path / "colour.png"], resolution=16)
    grey, rgb = list(files)
    assert len(files) == 2 and rgb.dtype == torch.uint8
    np.testing.assert_array_equal(grey, np.stack([pixels] * 3))
    np.testing.assert_array_equal(rgb, colour.transpose(2, 0, 1))


def test_image_files_share_one_size(tmp_path):
    Image.new("L", (40, 60), 200).save(tmp_path / "portrait.png")
    Image.new("L", (9, 7), 100).save(tmp_path / "small.png")
    images = torch.stack(list(ImageFiles([tmp_path / "portrait.png", tmp_path / "small.png"], resolution=20)))
    assert images.shape == (2, 3, 20, 20)
    assert images[0].unique().tolist() == [200] and images[1].unique().tolist() == [100]


@pytest.fixture
def five(tmp_path):
    """Five image files of one grey level each, 0 to 4."""
    for level in range(5):
        Image.new("L", (8, 8), level).save(tmp_path / f"{level}.png")
    return ImageFiles([tmp_path / f"{level}.png" for level in range(5)], 8)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_whoever_decodes_them(five, workers):
    found = list(batches(five, 2, workers, "test"))
    assert [batch[:, 0, 0, 0].tolist() for batch in found] == [[0, 1], [2, 3], [4]]
    means = batches(five, 2, workers, "test", collate=lambda images: torch.stack(images).float().mean(dim=(1, 2, 3)))
    assert [batch.tolist() for batch in means] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_file_is_one_line_whoever_decodes_it(five, workers):
    five.paths[3].write_text("no image")
    with pytest.raises(InputError) as error:
        list(batches(five, 2, workers, "test"))
    assert str(error.value).startswith(f"{five.paths[3]}: cannot be read as an image")
    assert len(str(error.value).splitlines()) == 1
