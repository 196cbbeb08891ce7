import numpy as np
import pytest

from tradeoffs.data.findings import MSCXR_FINDINGS
from tradeoffs.demo.phantoms import SEVERITIES, SIZES, ZONES, Finding, draw_findings, render

LATERAL = [name for name in MSCXR_FINDINGS if name != "Cardiomegaly"]


def finding(name, side="left", size="moderate", zone="mid"):
    return Finding(name, "central" if name == "Cardiomegaly" else side, size, zone, "severe")


def mask_of(boxes, shape, margin=0):
    mask = np.zeros(shape, bool)
    for x, y, w, h in boxes:
        mask[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin] = True
    return mask


def test_same_keys_same_bytes():
    findings = [finding("Edema"), finding("Pneumonia", "right")]
    first = render(findings, "person", "image")
    assert first.image.tobytes() == render(findings, "person", "image").image.tobytes()
    assert first.boxes == render(findings, "person", "image").boxes
    other_pose, other_person = render(findings, "person", "image 2"), render(findings, "person 2", "image")
    assert other_pose.image.shape != first.image.shape or (other_pose.image != first.image).any()
    assert other_person.image.shape == first.image.shape and (other_person.image != first.image).any()
    lateral = render(findings, "person", "image", lateral=True)
    assert lateral.image.shape == first.image.shape and (lateral.image != first.image).any()


def test_sizes_and_boxes():
    seen = 0
    for i in range(60):
        rng = np.random.default_rng(i)
        findings = draw_findings(rng, [str(name) for name in rng.permutation(MSCXR_FINDINGS)[: i % 3]])
        phantom = render(findings, i, i)
        height, width = phantom.image.shape
        assert phantom.image.dtype == np.uint8 and 128 <= width <= height <= 1.15 * width
        assert len(phantom.boxes) == len(findings)
        for drawn, boxes in zip(findings, phantom.boxes, strict=True):
            assert len(boxes) <= (2 if drawn.side == "bilateral" else 1)
            for x, y, w, h in boxes:
                assert x >= 0 and y >= 0 and w >= 6 and h >= 6 and x + w <= width and y + h <= height
                assert all(isinstance(value, int) for value in (x, y, w, h))
                seen += 1
    assert seen > 50


@pytest.mark.parametrize("name", MSCXR_FINDINGS)
def test_finding_is_in_its_box(name):
    """The same image with and without the finding, exposure and contrast made equal by a fit outside the box."""
    inside_changes, share_inside = [], []
    for i in range(8):
        plain, phantom = render([], i, i).image.astype(float), render([finding(name)], i, i)
        image, boxes = phantom.image.astype(float), phantom.boxes[0]
        inside = mask_of(boxes, image.shape)
        slope, offset = np.polyfit(plain[~inside], image[~inside], 1)
        change = np.abs(image - (slope * plain + offset))
        inside_changes.append(change[inside].mean() / change[~inside].mean())
        strong = change > 50
        share_inside.append((strong & mask_of(boxes, image.shape, margin=3)).sum() / strong.sum())
    assert np.mean(inside_changes) > 2 and min(inside_changes) > 1
    assert np.mean(share_inside) > 0.95


@pytest.mark.parametrize("name", LATERAL)
def test_left_is_the_images_right(name):
    centres = {"left": [], "right": []}
    for i in range(30):
        boxes = {side: render([finding(name, side)], i, i) for side in centres}
        for side, phantom in boxes.items():
            ((x, _, w, _),) = phantom.boxes[0]
            centres[side].append((x + w / 2) / phantom.image.shape[1])
    left, right = np.array(centres["left"]), np.array(centres["right"])
    assert (left > right).all()  # of the same person in the same pose
    assert left.mean() > 0.55 and right.mean() < 0.45


def test_bilateral_findings_have_a_box_a_side():
    two = [render([finding("Edema", "bilateral")], i, i).boxes[0] for i in range(20)]
    two = [boxes for boxes in two if len(boxes) == 2]
    assert len(two) >= 10
    assert all(right[0] + right[2] / 2 < left[0] + left[2] / 2 for right, left in two)


def test_size_and_zone_show_in_the_boxes():
    def boxes(**changes):
        drawn = [render([finding("Consolidation", **changes)], i, i) for i in range(20)]
        return np.array([(*p.boxes[0][0], p.image.shape[0]) for p in drawn], float).T

    areas = [np.mean(w * h) for _, _, w, h, _ in (boxes(size=size) for size in SIZES)]
    assert areas[0] < areas[1] < areas[2]
    heights = [np.mean((y + h / 2) / height) for _, y, _, h, height in (boxes(zone=zone) for zone in ZONES)]
    assert heights[0] < heights[1] < heights[2]


def test_place_varies_from_image_to_image():
    """Place alone must not give the box away."""
    drawn = [render([finding("Consolidation")], i, i) for i in range(40)]
    centres = np.array(
        [((x + w / 2) / p.image.shape[1], (y + h / 2) / p.image.shape[0]) for p in drawn for x, y, w, h in p.boxes[0]]
    )
    assert centres.std(axis=0).min() > 0.08


def test_two_findings_lie_on_different_sides_and_attributes_fit_the_finding():
    rng = np.random.default_rng(0)
    pairs = [draw_findings(rng, [str(n) for n in rng.permutation(LATERAL)[:2]]) for _ in range(200)]
    for first, second in pairs:
        if "Edema" not in (first.name, second.name):
            assert {first.side, second.side} == {"left", "right"}
    singles = [draw_findings(rng, [name])[0] for name in MSCXR_FINDINGS for _ in range(60)]
    for name in MSCXR_FINDINGS:
        of_name = [f for f in singles if f.name == name]
        sides = {"left", "right"} if name in ("Atelectasis", "Pneumothorax") else {"left", "right", "bilateral"}
        assert {f.side for f in of_name} == ({"central"} if name == "Cardiomegaly" else sides)
        assert {f.size for f in of_name} == set(SIZES) and {f.zone for f in of_name} == set(ZONES)
        assert {f.severity for f in of_name} == set(SEVERITIES)
