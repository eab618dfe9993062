"""Mean field, compared with sums over all pairs of pixels."""

import cv2
import numpy as np
import pytest
import torch

from mmlabelpenet.ops.mean_field import mean_field, positions, positions_and_colours


def exact_mean_field(unary, kernels, iterations):
    """Every pair of pixels, in double precision."""
    pairwise = 0
    for features, weight in kernels:
        kernel = torch.exp(-(torch.cdist(features.T.double(), features.T.double()) ** 2) / 2)
        norm = kernel.sum(1).rsqrt()
        pairwise = pairwise + weight * norm[:, None] * kernel * norm
    probs = (-unary.double()).softmax(1)
    for _ in range(iterations):
        probs = (pairwise @ probs - unary).softmax(1)
    return probs.float()


def patches(seed, labels, size=(36, 48)):
    """A noisy image with one coloured patch per label, and a blurred, uncertain initial segmentation."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(size, int)
    for label in range(1, labels):
        y, x = rng.integers(4, 18), rng.integers(4, 26)
        truth[y : y + 14, x : x + 16] = label
    colours = rng.permutation(np.linspace(20, 235, labels))[:, None] + rng.uniform(-20, 20, (labels, 3))
    image = np.clip(colours[truth] + rng.normal(0, 6, (*size, 3)), 0, 255).astype(np.uint8)
    soft = [cv2.GaussianBlur((np.roll(truth, 2, 1) == label).astype(np.float32), None, 3) for label in range(labels)]
    soft = np.clip(0.2 + 0.6 * np.stack(soft) + rng.normal(0, 0.05, (labels, *size)), 0.02, None).astype(np.float32)
    return image, soft / soft.sum(0), truth


def energies_and_kernels(image, attention, xy=40):
    image = torch.from_numpy(image)
    kernels = [(positions(image, 3), 3.0), (positions_and_colours(image, xy, 13), 10.0)]
    return -torch.from_numpy(attention).flatten(1).T.log().contiguous(), kernels


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('labels', [2, 3, 5])
def test_it_is_close_to_the_exact_mean_field(seed, labels):
    image, attention, truth = patches(seed, labels)
    unary, kernels = energies_and_kernels(image, attention)
    ours, exact = mean_field(unary, kernels, 10), exact_mean_field(unary, kernels, 10)
    assert (ours - exact).abs().mean() < 0.005
    assert (ours.argmax(1) == exact.argmax(1)).float().mean() > 0.995
    before, after = ((probs.argmax(1).view(truth.shape).numpy() == truth).mean() for probs in (-unary, ours))
    assert after > 0.95 and after > before + 0.02


@pytest.mark.parametrize('labels', [2, 3, 5])
def test_it_equals_pydensecrf(labels):
    densecrf = pytest.importorskip('pydensecrf.densecrf')
    image, attention, _ = patches(0, labels)
    unary, kernels = energies_and_kernels(image, attention)
    crf = densecrf.DenseCRF2D(*attention.shape[:0:-1], labels)
    crf.setUnaryEnergy(unary.T.contiguous().numpy())
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=40, srgb=13, rgbim=image, compat=10)
    posterior = torch.from_numpy(np.array(crf.inference(10))).T
    torch.testing.assert_close(mean_field(unary, kernels, 10), posterior, atol=1e-3, rtol=0)


def test_without_a_kernel_the_unary_probabilities_remain():
    unary = torch.rand(7, 3)
    torch.testing.assert_close(mean_field(unary, [], 4), (-unary).softmax(1))


def test_images_of_a_batch_get_the_same_bits_as_alone():
    scenes = [energies_and_kernels(*patches(seed, 3, size)[:2]) for seed, size in enumerate([(36, 48), (50, 40), (36, 48)])]
    unary = torch.cat([energies for energies, _ in scenes])
    kernels = [(torch.cat([part[m][0] for _, part in scenes], 1), scenes[0][1][m][1]) for m in range(2)]
    counts = [len(energies) for energies, _ in scenes]
    together = mean_field(unary, kernels, 5, torch.arange(3).repeat_interleave(torch.tensor(counts)))
    for (energies, part), result in zip(scenes, together.split(counts), strict=True):
        assert torch.equal(mean_field(energies, part, 5), result)


def test_features_are_positions_and_colours_in_standard_deviations():
    image = torch.arange(18, dtype=torch.uint8).view(2, 3, 3)
    features = positions_and_colours(image, 2, 10)
    assert features[:, 5].tolist() == torch.tensor([1, 0.5, 1.5, 1.6, 1.7]).tolist()
    assert torch.equal(features[:2], positions(image, 2))
