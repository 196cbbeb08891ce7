import numpy as np
import pytest
from PIL import Image

from tradeoffs.data.images import (
    Geometry,
    check_image_files,
    decoded_mask,
    image_size,
    load_image,
    mask_corrected,
    mask_published,
    resized_mask,
)
from tradeoffs.errors import InputError


def test_geometry_of_a_wide_image():
    geometry = Geometry(200, 100, 50)
    assert geometry.resized == (100, 50)
    assert geometry.offset == (25, 0)
    # halved, then 25 less in x: x 100..140 -> 50..70 -> 25..45, y 20..60 -> 10..30
    assert geometry.box(100, 20, 40, 40) == (25.0, 10.0, 45.0, 30.0)
    # x 0..60 -> 0..30 -> -25..5, clipped to 0..5
    assert geometry.box(0, 0, 60, 100) == (0.0, 0.0, 5.0, 50.0)
    # x 0..50 -> 0..25 -> -25..0: cropped away, its edge touches the square
    assert geometry.box(0, 0, 50, 100) is None


def test_geometry_rounds_like_torchvision():
    # Resize: int(512 * 3056 / 2544) = int(615.04); CenterCrop: round(103 / 2) = round(51.5) = 52 (half to even)
    geometry = Geometry(2544, 3056, 512)
    assert geometry.resized == (512, 615)
    assert geometry.offset == (0, 52)
    # CenterCrop: round(101 / 2) = round(50.5) = 50
    assert Geometry(512, 613, 512).offset == (0, 50)


def test_mask_corrected_counts_pixel_centres():
    # 8 -> 4 px: x 3..7 -> 1.5..3.5 holds the centres 1.5 and 2.5, 3.5 is its open end; y 2..5 -> 1..2.5 holds 1.5
    expected = np.zeros((4, 4), dtype=bool)
    expected[1, 1:3] = True
    np.testing.assert_array_equal(mask_corrected([(3, 2, 4, 3)], Geometry(8, 8, 4)), expected)


def test_mask_corrected_is_the_union_without_what_was_cropped_away():
    # 16 x 8 -> 8 x 4, columns 2..5 stay: x 0..3 is gone; x 4..6 -> 2..3 -> 0..1; x 10..12 -> 5..6 -> 3..4
    boxes = [(0, 0, 3, 8), (4, 0, 2, 4), (10, 4, 2, 4)]
    expected = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]], dtype=bool)
    np.testing.assert_array_equal(mask_corrected(boxes, Geometry(16, 8, 4)), expected)
    assert not mask_corrected(boxes[:1], Geometry(16, 8, 4)).any()


def test_mask_published_counts_every_touched_pixel():
    # 32 -> 8 px: pixel i looks at the source pixels less than 4 from its centre 4 i + 2. Box pixels 8..15 have centres
    # 8.5..15.5, so pixels 1 (centre 6, 2.5 away) to 4 (centre 18, 2.5 away) touch it; 0 (2) and 5 (22) are 6.5 away.
    expected = np.zeros((8, 8), dtype=bool)
    expected[1:5, 1:5] = True
    np.testing.assert_array_equal(mask_published([(8, 8, 8, 8)], Geometry(32, 32, 8)), expected)
    # the corrected mask of the same box: 8..16 -> 2..4
    assert np.flatnonzero(mask_corrected([(8, 8, 8, 8)], Geometry(32, 32, 8)).any(axis=0)).tolist() == [2, 3]


def test_mask_published_follows_the_filter_and_the_crop():
    geometry = Geometry(90, 60, 16)  # -> 24 x 16, of which columns 4..19 stay
    box = (20, 7, 31, 12)

    def touched(start: int, length: int, size: int, resized: int) -> np.ndarray:
        scale = size / resized
        source = np.arange(start, start + length) + 0.5
        centre = (np.arange(resized) + 0.5) * scale
        return (np.abs(centre[:, None] - source[None, :]) < scale).any(axis=1)

    expected = np.outer(touched(7, 12, 60, 16), touched(20, 31, 90, 24)[4:20])
    np.testing.assert_array_equal(mask_published([box], geometry), expected)


def test_mask_published_grows_boxes_by_about_three_percent():
    grown = mask_published([(600, 900, 700, 650)], Geometry(2544, 3056, 512)).sum()
    assert 1.02 < grown / (700 * 650 * (512 / 2544) ** 2) < 1.04


def test_masks_at_the_original_size_are_the_boxes():
    expected = np.zeros((6, 6), dtype=bool)
    expected[1:3, 2:5] = True
    expected[5, 0] = True
    boxes = [(2, 1, 3, 2), (0, 5, 1, 1)]
    np.testing.assert_array_equal(mask_corrected(boxes, Geometry(6, 6, 6)), expected)
    np.testing.assert_array_equal(mask_published(boxes, Geometry(6, 6, 6)), expected)


def test_masks_survive_their_run_lengths(run_lengths):
    mask = np.zeros((3, 5), dtype=bool)  # height, width
    mask[0, 4] = mask[2, 1:3] = True
    decoded = decoded_mask(run_lengths(mask))
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)


def test_decoded_mask_by_hand():
    # COCO counts along columns, first those outside: 1 outside, 2 inside, 3 outside; one character each, from "0"
    np.testing.assert_array_equal(decoded_mask('{"size": [2, 3], "counts": "123"}'), [[0, 1, 0], [1, 0, 0]])


def test_resized_mask_by_hand():
    # 6 x 12 -> 3 x 6, columns 1.5 -> 2 (half to even) to 4 stay. Halving weights a pixel's four sources by 1, 3, 3, 1
    # eighths, at the border the three that are left by 3, 3, 1 sevenths.
    mask = np.zeros((6, 12), dtype=bool)
    mask[:3, 6:] = True
    # rows 0..2 of sources 0..2 | 1..4 | 3..5: 1, (1 + 3) / 8, 0; columns 3..6 | 5..8 | 7..10: 1/8, 7/8, 1
    expected = np.outer([1, 1 / 2, 0], [1 / 8, 7 / 8, 1])
    coverage = resized_mask(mask, Geometry(12, 6, 3))
    assert coverage.dtype == np.float32
    np.testing.assert_allclose(coverage, expected, atol=1e-7)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_load_image_scales_grey_to_three_channels(tmp_path):
    grey = np.array([[0, 255], [51, 204]], dtype=np.uint8)
    image = load_image(save(tmp_path / "grey.png", grey), 2)
    assert image.shape == (3, 2, 2)
    assert str(image.dtype) == "torch.float32"
    # 51 / 127.5 - 1 = -0.6, 204 / 127.5 - 1 = 0.6
    for channel in image.numpy():
        np.testing.assert_allclose(channel, [[-1.0, 1.0], [-0.6, 0.6]], atol=1e-6)


def test_load_image_crops_the_middle(tmp_path):
    wide = np.tile(np.array([0, 10, 20, 30, 40, 50, 60], dtype=np.uint8), (4, 1))
    image = load_image(save(tmp_path / "wide.png", wide), 4)
    # 7 x 4 at resolution 4 is not resized; (7 - 4) / 2 = 1.5 rounds to 2: columns 2..5
    np.testing.assert_allclose((image[0, 0].numpy() + 1) * 127.5, [20, 30, 40, 50], atol=1e-4)


def test_load_image_averages_when_it_shrinks(tmp_path):
    stripes = np.tile(np.array([0, 200], dtype=np.uint8), (16, 8))
    image = load_image(save(tmp_path / "stripes.png", stripes), 8)
    # halving weights four columns by 1, 3, 3, 1 eighths: (0 + 3 * 200 + 0 + 200) / 8 = 100 away from the borders
    np.testing.assert_allclose((image[:, :, 1:-1].numpy() + 1) * 127.5, 100, atol=1e-4)


def test_load_image_and_boxes_use_one_geometry(tmp_path):
    tall = np.zeros((90, 60), dtype=np.uint8)
    tall[30:60, 20:50] = 255
    image = load_image(save(tmp_path / "tall.png", tall), 30)
    # halved: rows 15..30, columns 10..25; then rows 7.5 -> 8 less (half to even): rows 7..22
    bright = image[0].numpy() > 0
    np.testing.assert_array_equal(np.flatnonzero(bright.any(axis=0)), range(10, 25))
    np.testing.assert_array_equal(np.flatnonzero(bright.any(axis=1)), range(7, 22))
    np.testing.assert_array_equal(mask_corrected([(20, 30, 30, 30)], Geometry(60, 90, 30)), bright)


def test_load_image_reads_the_whole_range_of_16_bits(tmp_path):
    deep = np.array([[0, 65535], [51 * 257, 204 * 257]], dtype=np.uint16)
    image = load_image(save(tmp_path / "deep.png", deep), 2)
    np.testing.assert_allclose(image[1].numpy(), [[-1.0, 1.0], [-0.6, 0.6]], atol=1e-6)


def test_load_image_rejects_grey_values_without_a_known_range(tmp_path):
    for name, pixels in {
        "float.tif": np.ones((2, 2), np.float32),
        "long.tif": np.full((2, 2), 70000, np.int32),
    }.items():
        with pytest.raises(InputError, match=name):
            load_image(save(tmp_path / name, pixels), 2)


def test_load_image_keeps_colours(tmp_path):
    colour = np.zeros((2, 2, 3), dtype=np.uint8)
    colour[..., 0] = 255
    image = load_image(save(tmp_path / "red.png", colour), 2)
    assert image[:, 0, 0].tolist() == [1.0, -1.0, -1.0]


def test_load_image_reads_cmyk(tmp_path):
    cmyk = Image.new("CMYK", (4, 4), (0, 0, 0, 255))  # full black ink
    cmyk.paste((0, 0, 0, 0), (0, 0, 4, 2))  # no ink: white
    cmyk.save(tmp_path / "cmyk.tif")
    image = load_image(tmp_path / "cmyk.tif", 4)
    assert image[:, 0].min() == 1.0
    assert image[:, 3].max() == -1.0


def test_orientation_is_respected(tmp_path):
    stored = np.zeros((2, 4), dtype=np.uint8)
    stored[:, 0] = 255  # left edge of the stored pixels
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: the left edge comes to the top
    path = save(tmp_path / "turned.png", stored, exif=exif)
    assert image_size(path) == (2, 4)
    stored[:, 1] = 255  # columns 0 and 1 -> rows 0 and 1; the central square is rows 1 and 2
    image = load_image(save(path, stored, exif=exif), 2)
    assert image[0].tolist() == [[1.0, 1.0], [-1.0, -1.0]]


@pytest.mark.parametrize("read", [image_size, lambda path: load_image(path, 8)])
@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_unreadable_files_are_named(tmp_path, read, content):
    path = tmp_path / "broken.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="broken.jpg"):
        read(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_image_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    path = save(tmp_path / f"short.{suffix}", noise)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match=f"short.{suffix}"):
        load_image(path, 8)


def test_images_that_hold_more_than_one_picture_shows_are_refused(tmp_path):
    """Further frames would be left out, and colours that are fully transparent would be seen."""
    first, second = (Image.new("RGB", (40, 40), colour) for colour in ("black", "white"))
    first.save(tmp_path / "moving.png", save_all=True, append_images=[second])
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    for name in ("moving.png", "moving.gif"):
        with pytest.raises(InputError, match=f"{name}: cannot be read .*it holds several pictures"):
            load_image(tmp_path / name, 8)
    clear = first.convert("RGBA")
    clear.save(tmp_path / "opaque.png")
    assert load_image(tmp_path / "opaque.png", 8).max() == -1
    clear.putpixel((3, 3), (255, 255, 255, 0))
    clear.save(tmp_path / "clear.png")
    clear.convert("LA").save(tmp_path / "grey.png")
    first.save(tmp_path / "keyed.png", transparency=(0, 0, 0))
    for name in ("clear.png", "grey.png", "keyed.png"):
        with pytest.raises(InputError, match=f"{name}: .*parts of it are transparent"):
            load_image(tmp_path / name, 8)
    paths = [str(tmp_path / name) for name in ("opaque.png", "clear.png", "moving.png")]
    assert check_image_files(paths, 1, "") == ["", "unreadable", "unreadable"]


def test_damaged_and_missing_files_are_told_before_they_are_decoded(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    whole = save(tmp_path / "whole.jpg", noise).read_bytes()
    png = save(tmp_path / "whole.png", noise).read_bytes()
    contents = {
        "padded.jpg": whole + bytes(500),
        "short.jpg": whole[:1500],
        "short.png": png[:1500],
        "empty.jpg": b"",
        "page.jpg": b"<html>Error 503</html>",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    Image.new("L", (3300, 100)).save(tmp_path / "narrow.jpg")
    names = ["whole.jpg", "whole.png", "padded.jpg", "absent.jpg", *list(contents)[1:], "narrow.jpg"]
    paths = [str(tmp_path / name) for name in names]
    assert check_image_files(paths, 0.7, "data.coco") == ["", "", "", "missing", *["unreadable"] * 5]
    with pytest.raises(InputError, match=r"absent\.jpg: 6 of 9 images .*raise data\.max_missing"):
        check_image_files(paths, 0.6, "data.coco")
    with pytest.raises(InputError, match=r"2 of 2 images are missing .*; set data\.coco to the folder that holds them"):
        check_image_files(["a.jpg", "b.jpg"], 0.6, "data.coco")


def test_images_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="narrow.png: cannot be read as an image .*640 x 10 pixels are too narrow"):
        load_image(save(tmp_path / "narrow.png", np.zeros((10, 640), np.uint8)), 8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="large.png: cannot be read as an image .*decompression bomb"):
        load_image(save(tmp_path / "large.png", np.zeros((50, 50), np.uint8)), 8)
