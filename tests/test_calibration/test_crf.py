"""The dense CRF."""

import sys
import types

import numpy as np
import pytest

from mmlabelpenet.calibration.crf import DenseCRF, build_crf


def two_halves(h=40, w=60, edge=25):
    """A picture with one vertical edge, and a guess of its right part that is 6 pixels off."""
    image = np.full((h, w, 3), 30, np.uint8)
    image[:, edge:] = 220
    soft = np.full((h, w), 0.2)
    soft[:, edge + 6 :] = 0.8
    return image, np.stack([1 - soft, soft])


def test_a_mask_snaps_to_the_edge_of_the_picture():
    image, attention = two_halves()
    labels = DenseCRF()(image, attention)
    assert labels.shape == (40, 60) and labels.dtype == np.int64
    assert (labels[:, :25] == 0).all() and (labels[:, 25:] == 1).all()
    assert (attention.argmax(0)[:, 25:31] == 0).all()


def test_labels_do_not_depend_on_the_scale_of_the_attention():
    image, attention = two_halves()
    np.testing.assert_array_equal(DenseCRF()(image, attention * 7), DenseCRF()(image, attention))


def test_pixels_that_nothing_claims_are_undecided_until_their_neighbours_decide():
    image, attention = two_halves()
    attention[:, 10:20] = 0
    labels = DenseCRF()(image, attention)
    assert (labels[10:20, :25] == 0).all()


def test_many_labels_are_told_apart_jointly():
    image = np.zeros((30, 60, 3), np.uint8)
    image[:, 20:40], image[:, 40:] = 120, 250
    attention = np.full((3, 30, 60), 0.2)
    for label, columns in enumerate((slice(0, 15), slice(23, 36), slice(44, 60))):
        attention[label, :, columns] = 0.9
    labels = DenseCRF(bilateral_xy=30)(image, attention)
    np.testing.assert_array_equal(labels, np.repeat([[0] * 20 + [1] * 20 + [2] * 20], 30, 0))


@pytest.fixture
def fields(monkeypatch):
    """Sizes of the fields that are built, and the reach of their kernels."""
    seen = []
    real = pytest.importorskip('pydensecrf.densecrf')

    class Spy:
        def __init__(self, width, height, labels):
            self.field = real.DenseCRF2D(width, height, labels)
            seen.append(dict(size=(width, height)))

        def addPairwiseGaussian(self, sxy, **kwargs):  # noqa: N802
            seen[-1]['gaussian'] = sxy
            self.field.addPairwiseGaussian(sxy=sxy, **kwargs)

        def addPairwiseBilateral(self, sxy, **kwargs):  # noqa: N802
            seen[-1]['bilateral'] = sxy
            self.field.addPairwiseBilateral(sxy=sxy, **kwargs)

        def __getattr__(self, name):
            return getattr(self.field, name)

    module = types.SimpleNamespace(DenseCRF2D=Spy)
    monkeypatch.setitem(sys.modules, 'pydensecrf.densecrf', module)
    monkeypatch.setattr(sys.modules['pydensecrf'], 'densecrf', module)
    return seen


def test_the_field_is_never_larger_than_max_size_and_its_kernels_shrink_with_it(fields):
    image, attention = two_halves(80, 120, 50)
    small = DenseCRF(max_size=60)(image, attention)
    for max_size in (None, 500):
        DenseCRF(max_size=max_size)(image, attention)
    full = dict(size=(120, 80), gaussian=3, bilateral=80)
    assert fields == [dict(size=(60, 40), gaussian=1.5, bilateral=40), full, full]
    assert small.shape == (80, 120)
    assert (small[:, :49] == 0).all() and (small[:, 52:] == 1).all()


def test_images_and_attention_of_different_sizes_are_refused():
    image, attention = two_halves()
    with pytest.raises(ValueError, match=r'\(40, 60\).*\(40, 59\)'):
        DenseCRF()(image, attention[:, :, :-1])


def test_arguments_stay_as_they_were():
    image, attention = two_halves()
    before = image.copy(), attention.copy()
    DenseCRF(max_size=30)(image, attention)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(attention, before[1])


def test_a_crf_is_built_from_settings_or_by_the_name_of_a_preset():
    assert build_crf('deeplab') == DenseCRF() and build_crf(dict(iterations=3)) == DenseCRF(iterations=3) and build_crf(None) is None
    with pytest.raises(KeyError, match="no CRF preset 'deeplap'.*deeplab, small"):
        build_crf('deeplap')
