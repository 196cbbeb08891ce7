import doctest
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from scipy.ndimage import correlate1d

import tradeoffs.evaluation.fidelity as fidelity_module
from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import FindingsClassifier, save_classifier
from tradeoffs.evaluation.fidelity import (
    _frechet_of_few,
    distances,
    distances_by_finding,
    diversity,
    frechet_distance,
    halves,
    kernel_distance,
    ms_ssim,
    neighbourhoods,
)
from tradeoffs.evaluation.reference import ImageFeatures


def random_features(n, d, seed, shift=0.0):
    return (np.random.default_rng(seed).normal(size=(n, d)) + shift).astype(np.float32)


IN_EACH = ("fid", "kid", "precision", "recall", "density", "coverage")


def constant(value, size):
    return torch.full((3, size, size), value, dtype=torch.uint8)


def mmd_of_all(real, fake):
    """The unbiased estimate, term by term."""

    def kernel(x, y):
        return (np.dot(x, y) / len(x) + 1) ** 3

    real, fake = real.astype(float), fake.astype(float)
    n, m = len(real), len(fake)
    within_real = sum(kernel(real[i], real[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_fake = sum(kernel(fake[i], fake[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    across = sum(kernel(x, y) for x in real for y in fake) / (n * m)
    return within_real + within_fake - 2 * across


def numpy_ms_ssim(a, b):
    """Wang et al. (2003) from the definition: Gaussian window of 11 px and sigma 1.5, 2x2 means between five scales.

    As in torchmetrics, windows that pass the border (mirrored there) count at the last scale only.
    """
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def local_mean(x):
        return correlate1d(correlate1d(x, window, axis=0, mode="mirror"), window, axis=1, mode="mirror")

    c1, c2 = 0.01**2, 0.03**2
    product = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mean_a, mean_b = local_mean(a), local_mean(b)
        var_a, var_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
        contrast_structure = (2 * (local_mean(a * b) - mean_a * mean_b) + c2) / (var_a + var_b + c2)
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        term = (contrast_structure * luminance).mean() if scale == 4 else contrast_structure[5:-5, 5:-5].mean()
        product *= max(term, 0.0) ** weight
        even = len(a) // 2 * 2
        a, b = (x[:even, :even].reshape(even // 2, 2, even // 2, 2).mean(axis=(1, 3)) for x in (a, b))
    return product


def test_fid_by_hand():
    # means 1 and 5, unbiased variances 2 and 8: (1 - 5)^2 + 2 + 8 - 2 sqrt(2 * 8) = 16 + 10 - 8
    assert frechet_distance(np.float32([[0], [2]]), np.float32([[3], [7]])) == pytest.approx(18.0)


def test_fid_of_small_gaussians_against_scipy():
    mixing = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, -0.3], [0.2, 0.0, 0.7]], dtype=np.float32)
    real, fake = (random_features(60, 3, 0), random_features(40, 3, 1, shift=0.5) @ mixing)
    cov_real, cov_fake = np.cov(real.T), np.cov(fake.T)
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum()
    expected += np.trace(cov_real + cov_fake - 2 * sqrtm(cov_real @ cov_fake).real)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-5)


def test_fid_with_fewer_images_than_features():
    # tr sqrt(C D) = tr sqrt(sqrt(C) D sqrt(C)), whose eigenvalues are real although C and D are singular
    real, fake = random_features(24, 200, 2).astype(float), 1.3 * random_features(30, 200, 3).astype(float)
    cov_real, cov_fake = np.cov(real.T), np.cov(fake.T)
    values, vectors = np.linalg.eigh(cov_real)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ cov_fake @ root).clip(0)).sum()
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(cov_real + cov_fake) - 2 * shared
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)


def test_fid_with_as_many_images_as_features_is_the_same_in_both_ways():
    real, fake = random_features(9, 8, 0), 2 * random_features(9, 8, 1)
    assert frechet_distance(real, fake) == pytest.approx(_frechet_of_few(real, fake), rel=1e-6)


def test_neighbourhoods_by_hand():
    # Real 0 1 2 with radii 1; generated 0.5, 9, 10 with radii 8.5, 1, 1. Only 0.5 is in a real ball, in those of 0 and
    # of 1; the ball of 0.5 holds all real images.
    real, fake = np.float64([[0], [1], [2]]), np.float64([[0.5], [9], [10]])
    expected = {"precision": 1 / 3, "recall": 1.0, "density": 2 / 3, "coverage": 2 / 3}
    assert neighbourhoods(real, fake, k=1) == pytest.approx(expected)
    assert neighbourhoods(np.repeat(real, 3, axis=0), fake, k=1) == pytest.approx(expected)  # copies count once
    # with two neighbours: radii 2 1 2 and 9.5 8.5 9.5: density counts three balls that hold 0.5, over 2
    assert neighbourhoods(real, fake, k=2)["density"] == pytest.approx(3 / 3 / 2)
    assert neighbourhoods(real, fake) == neighbourhoods(real, fake, k=2)  # of three, five neighbours are two


def test_neighbourhoods_of_one_image_do_not_exist():
    assert all(np.isnan(value) for value in neighbourhoods(np.eye(2)[:1], np.eye(2)).values())


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(fidelity_module).failed == 0 < doctest.testmod(fidelity_module).attempted


def test_kid_by_hand():
    # k(x, y) = (xy + 1)^3. Within real: k(0, 1) = 1; within fake: k(1, 2) = 27; across: (1 + 1 + 8 + 27) / 4 = 9.25
    real, fake = np.float32([[0], [1]]), np.float32([[1], [2]])
    assert kernel_distance(real, fake, subsets=3, subset_size=2, seed=0) == pytest.approx(1 + 27 - 2 * 9.25)


def test_kid_of_everything_is_the_unbiased_mmd():
    real, fake = random_features(9, 4, 4), random_features(9, 4, 5, shift=0.4)
    # asked for 1000 images a subset, there are 9
    assert kernel_distance(real, fake, subsets=2, subset_size=1000, seed=0) == pytest.approx(mmd_of_all(real, fake))


def test_kid_subset_is_as_large_as_the_smaller_side():
    real, fake = random_features(5, 4, 6), random_features(3, 4, 7)
    possible = [mmd_of_all(real[list(rows)], fake) for rows in combinations(range(5), 3)]
    kid = kernel_distance(real, fake, subsets=1, subset_size=1000, seed=0)
    assert min(abs(kid - value) for value in possible) < 1e-9


def test_kid_depends_on_its_seed_only():
    real, fake = random_features(40, 4, 8), random_features(40, 4, 9)
    first = kernel_distance(real, fake, subsets=5, subset_size=10, seed=0)
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    assert kernel_distance(real, fake, subsets=5, subset_size=10, seed=0) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    assert kernel_distance(real, fake, subsets=5, subset_size=10, seed=1) != first


def test_distances_names_each_kind_and_counts_both_sides():
    real = {"general": random_features(6, 3, 0), "domain": random_features(6, 2, 1)}
    fake = {"general": random_features(4, 3, 2, shift=1.0), "domain": random_features(4, 2, 3, shift=2.0)}
    scores = distances(real, fake, kid_subsets=2, kid_subset_size=4, seed=0)
    assert {name: n for name, (_, n) in scores.items()} == {
        **{f"{name}_{kind}": 4 for name in IN_EACH for kind in real},
        "n_real": 6,
    }
    assert scores["n_real"][0] == 6
    assert scores["fid_domain"][0] == frechet_distance(real["domain"], fake["domain"])
    assert scores["fid_domain"][0] != scores["fid_general"][0]
    assert scores["kid_general"][0] == kernel_distance(real["general"], fake["general"], 2, 4, 0)


def test_one_image_is_not_a_distribution():
    with pytest.raises(InputError, match="not 5 and 1"):
        distances({"domain": np.eye(5)}, {"domain": np.eye(5)[:1]}, kid_subsets=1, kid_subset_size=5, seed=0)


def test_halves_keep_the_rows_of_an_image_together_and_share_no_image():
    ids = ["a", "b", "a", "c", "d", "e", "b"]
    first, second = halves(ids, seed=0)
    sides = [{ids[row] for row in rows} for rows in (first, second)]
    assert len(sides[0]) == len(sides[1]) == 2 and not sides[0] & sides[1]  # of five images, one is in neither
    for rows, images in zip((first, second), sides, strict=True):
        assert rows.tolist() == [row for row, name in enumerate(ids) if name in images]


def test_a_finding_is_compared_with_its_own_images():
    # Edema: 0 2 against 3 7, by hand 18 (see above); Pneumonia has one generated image only, No Finding none
    labels = ["Edema", "Edema|Pneumonia", "Pneumonia", "No Finding"]
    real = ImageFeatures(list("abcd"), labels, {"domain": np.float32([[0], [2], [50], [90]])})
    fake = ImageFeatures(list("efg"), ["Edema|Pneumonia", "Edema", ""], {"domain": np.float32([[3], [7], [1000]])})
    scores = distances_by_finding(real, fake, kid_subsets=1, kid_subset_size=2, seed=0)
    assert scores["fid_domain_Edema"] == (pytest.approx(18), 2) and scores["n_real_Edema"] == (2, 2)
    assert set(scores) == {f"{name}_domain_Edema" for name in IN_EACH} | {"n_real_Edema"}


def test_the_script_scores_real_images_by_their_own_labels(tmp_path, run_script):
    classifier = FindingsClassifier(["Edema", "Pneumonia"])
    with torch.no_grad():
        classifier.head.bias.zero_()
        classifier.head.weight.copy_(torch.eye(2, 128))  # the first two features are the logits
    save_classifier(tmp_path / "classifier", classifier, {})
    features = np.zeros((4, 128), np.float32)
    features[:, :2] = [[4, 1], [2.5, 2], [3, 0], [2, 1]]
    labels = ["Edema", "Edema|Pneumonia", "Pneumonia", "No Finding"]
    ImageFeatures(list("abcd"), labels, {"domain": features}).save(tmp_path / "real.npz")
    run_script(
        "real_images_fidelity",
        input={"real": tmp_path / "real.npz", "domain": str(tmp_path / "classifier")},
        params={
            "extractors": {"domain": "findings_classifier"},
            "kid": {"kid_subsets": 1, "kid_subset_size": 2},
            "seed": 0,
        },
        wildcards={"dataset": "cxr"},
        output={"scores": tmp_path / "fidelity.csv"},
    )
    table = pd.read_csv(tmp_path / "fidelity.csv")
    assert set(table["variant"]) == {"real_images"} and table[["seed", "step"]].isna().all(axis=None)
    scores = table.set_index("metric")[["value", "n"]].T.to_dict("list")
    # Edema (a, b): logits 4, 2.5 against 3, 2: 3 of 4 pairs. Pneumonia (b, c): 2, 0 against 1, 1: 2 of 4
    assert scores["label_auc_Edema"] == [0.75, 2] and scores["label_auc_Pneumonia"] == [0.5, 2]
    assert scores["label_auc"] == [0.625, 2] and scores["n_real"] == [2, 2] and scores["fid_domain"][1] == 2
    # against d alone: Edema 4, 2.5 against 2; Pneumonia 2, 0 against 1
    assert scores["disease_auc_Edema"] == [1, 2] and scores["disease_auc"] == [0.75, 2]


def luminance_term(a, b):
    """MS-SSIM of two constant images 0..1: contrast and structure are 1, luminance counts at the last scale only."""
    return ((2 * a * b + 0.01**2) / (a * a + b * b + 0.01**2)) ** 0.1333


def test_ms_ssim_of_constant_images_by_hand():
    # 51 / 255 = 0.2 and 102 / 255 = 0.4: ((0.16 + 0.0001) / (0.04 + 0.16 + 0.0001))^0.1333 = 0.8001^0.1333
    expected = (0.1601 / 0.2001) ** 0.1333
    assert ms_ssim(torch.stack([constant(51, 180), constant(102, 180)])) == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_of_grey_pairs_against_numpy():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, size=(3, 3, 192, 192), dtype=np.uint8))
    images[1:] = (0.7 * images[:1] + 0.3 * images[1:]).to(torch.uint8)
    grey = images.numpy().mean(axis=1) / 255
    expected = np.mean([numpy_ms_ssim(grey[i], grey[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    assert 0.3 < expected < 0.95
    assert ms_ssim(images) == pytest.approx(expected, abs=1e-5)


def test_ms_ssim_of_small_images_is_that_of_their_bilinear_enlargement():
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, size=(2, 1, 64, 64), dtype=np.uint8))
    images[1] = (0.8 * images[0] + 0.2 * images[1]).to(torch.uint8)
    large = [
        np.asarray(Image.fromarray(grey.astype(np.float32)).resize((176, 176), Image.Resampling.BILINEAR), dtype=float)
        for grey in images[:, 0].numpy()
    ]
    expected = numpy_ms_ssim(large[0] / 255, large[1] / 255)
    assert ms_ssim(images.expand(-1, 3, -1, -1)) == pytest.approx(expected, abs=1e-5)


def test_diversity_pairs_within_prompts_and_prompts_count_equally():
    same = torch.stack([constant(51, 32)] * 3)  # three pairs, each 1
    different = torch.stack([constant(51, 32), constant(255, 32)])  # one pair
    scores = diversity([same, different])
    within = (1 + luminance_term(0.2, 1.0)) / 2
    assert scores == {"ms_ssim": (pytest.approx(within, abs=1e-4), 2), "ms_ssim_resized_to": (176, 2)}
    # what pairs over both prompts, or pairs instead of prompts counted equally, would have given
    mixed = (6 + 4 * luminance_term(0.2, 1.0)) / 10
    by_pair = (3 + luminance_term(0.2, 1.0)) / 4
    assert min(abs(within - mixed), abs(within - by_pair)) > 0.01


def test_diversity_says_nothing_of_resizing_where_there_was_none():
    scores = diversity([torch.stack([constant(51, 176), constant(51, 176)])])
    assert scores == {"ms_ssim": (pytest.approx(1.0), 1)}


def test_diversity_without_repeated_prompts_is_missing():
    (value, n), *others = diversity([]).values()
    assert np.isnan(value) and n == 0 and not others
