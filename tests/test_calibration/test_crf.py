"""The dense CRF."""

import functools
import os
import pickle
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from devices import elsewhere

from mmlabelpenet.calibration import crf as crf_module
from mmlabelpenet.calibration.crf import DenseCRF, build_crf
from mmlabelpenet.workbench.quickstart.scenes import RenderSettings, render_scene

DATA = Path(os.environ.get('MMLABELPENET_DATA', 'data/VOCdevkit')) / 'VOC2012'


@pytest.fixture(params=['pydensecrf', 'torch'])
def crf(request):
    """A CRF with either backend."""
    if request.param == 'pydensecrf':
        pytest.importorskip('pydensecrf.densecrf')
    return functools.partial(DenseCRF, backend=request.param)


@pytest.fixture
def _no_pydensecrf(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pydensecrf', None)
    monkeypatch.setitem(sys.modules, 'pydensecrf.densecrf', None)
    crf_module._say_once.cache_clear()


def two_halves(h=40, w=60, edge=25):
    """An image with one vertical edge, and a guess of its right part that is 6 pixels off."""
    image = np.full((h, w, 3), 30, np.uint8)
    image[:, edge:] = 220
    soft = np.full((h, w), 0.2)
    soft[:, edge + 6 :] = 0.8
    return image, np.stack([1 - soft, soft])


def guess_of(rng, image, labels):
    """Smooth random attention with a background, float32 (labels, h, w), as certain as calibration's."""
    h, w = image.shape[:2]
    coarse = rng.dirichlet(np.full(labels, 0.5), (5, 7)).astype(np.float32)
    return cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC).reshape(h, w, labels).transpose(2, 0, 1).clip(0, None)


def rendered(seed, labels, size=(180, 240)):
    """An image with textures and figures, and a guess."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(render_scene(rng, RenderSettings(width=320, height=240)).image, size[::-1], interpolation=cv2.INTER_AREA)
    return image, guess_of(rng, image, labels)


def worst_iou(ours, theirs):
    """The smallest IoU of a label's masks."""
    pairs = [(ours == label, theirs == label) for label in np.union1d(ours, theirs)]
    return min((a & b).sum() / (a | b).sum() for a, b in pairs)


def test_a_mask_snaps_to_the_edge_of_the_image(crf):
    image, attention = two_halves()
    labels = crf()(image, attention)
    assert labels.shape == (40, 60) and labels.dtype == np.int64
    assert (labels[:, :25] == 0).all() and (labels[:, 25:] == 1).all()
    assert (attention.argmax(0)[:, 25:31] == 0).all()


def test_labels_do_not_depend_on_the_scale_of_the_attention(crf):
    image, attention = two_halves()
    np.testing.assert_array_equal(crf()(image, attention * 7), crf()(image, attention))


@pytest.mark.parametrize('nothing', [0, np.nan])
def test_pixels_that_nothing_claims_are_undecided_until_their_neighbours_decide(crf, nothing):
    image, attention = two_halves()
    attention[:, 10:20] = nothing
    labels = crf()(image, attention)
    assert (labels[:, :25] == 0).all() and (labels[:, 25:] == 1).all()


def test_many_labels_are_told_apart_jointly(crf):
    image = np.zeros((30, 60, 3), np.uint8)
    image[:, 20:40], image[:, 40:] = 120, 250
    attention = np.full((3, 30, 60), 0.2)
    for label, columns in enumerate((slice(0, 15), slice(23, 36), slice(44, 60))):
        attention[label, :, columns] = 0.9
    labels = crf(bilateral_xy=30)(image, attention)
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


@pytest.mark.parametrize(
    ('size', 'max_size', 'small'), [((1, 60), 3, (1, 3)), ((60, 1), 3, (3, 1)), ((30, 20), 30, (30, 20)), ((9, 6), 3, (3, 2))]
)
def test_a_thin_image_keeps_a_row_and_a_column_in_the_field(size, max_size, small):
    assert DenseCRF(max_size=max_size)._field_size((*size, 3), (2, *size)) == (size, small, min(1, max_size / max(size)))


@pytest.mark.parametrize('size', [(30, 20), (20, 30), (30, 60), (60, 90)])
@pytest.mark.parametrize('shape', [(40, 60, 3), (60, 40)])
def test_arrays_shrink_by_means_over_areas_and_grow_linearly(shape, size):
    array = np.random.default_rng(0).random(shape, np.float32)
    way = cv2.INTER_AREA if size[0] < shape[1] else cv2.INTER_LINEAR
    np.testing.assert_array_equal(crf_module._resize(array, size), cv2.resize(array, size, interpolation=way))


@pytest.mark.parametrize('labels', [1, 2, 3, 8])
@pytest.mark.parametrize('settings', ['deeplab', 'small', dict(max_size=100), dict(max_size=100, bilateral_rgb=4, bilateral_xy=20)])
def test_both_backends_give_the_same_masks(labels, settings):
    pytest.importorskip('pydensecrf.densecrf')
    settings = dict(preset=settings) if isinstance(settings, str) else settings
    theirs, ours = (build_crf(dict(settings, backend=backend)) for backend in ('pydensecrf', 'torch'))
    image, attention = rendered(labels, labels)
    before, after = attention.argmax(0), theirs(image, attention)
    assert worst_iou(ours(image, attention), after) >= 0.99
    assert labels == 1 or (before != after).mean() > 0.02


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / 'JPEGImages').is_dir(), reason=f'{DATA} is not there')
def test_both_backends_give_the_same_masks_of_100_photographs():
    pytest.importorskip('pydensecrf.densecrf')
    rng = np.random.default_rng(0)
    for path in sorted((DATA / 'JPEGImages').glob('*.jpg'))[::7][:100]:
        image = cv2.imread(str(path))[..., ::-1]
        attention = guess_of(rng, image, int(rng.integers(2, 9)))
        ours, theirs = (DenseCRF(backend=backend)(image, attention) for backend in ('torch', 'pydensecrf'))
        assert worst_iou(ours, theirs) >= 0.99, path.name


def test_images_and_attention_of_different_sizes_are_refused(crf):
    image, attention = two_halves()
    with pytest.raises(ValueError, match=r'\(40, 60\).*\(40, 59\)'):
        crf()(image, attention[:, :, :-1])


@pytest.mark.parametrize('shape', [(0, 4, 5), (2, 0, 5), (2, 4, 0)])
def test_no_label_and_no_pixel_are_refused(crf, shape):
    with pytest.raises(ValueError, match='at least one label and one pixel'):
        crf()(np.zeros((*shape[1:], 3), np.uint8), np.zeros(shape, np.float32))


def test_one_label_or_one_pixel_is_enough(crf):
    image, attention = two_halves()
    assert (crf()(image, attention[:1]) == 0).all()
    assert crf()(image[:1, :1], attention[::-1, :1, :1]).tolist() == [[1]]
    assert crf(max_size=3)(image[:1], attention[:, :1]).shape == (1, 60)


@pytest.mark.parametrize('dtype', [np.uint8, np.float16, np.float32, np.float64])
def test_attention_may_have_any_precision_and_arrays_any_layout(crf, dtype):
    image, attention = two_halves()
    expected = crf(max_size=30)(image, attention)
    image, attention = np.asfortranarray(image[:, ::-1]), (100 * attention[:, :, ::-1]).astype(dtype)
    image.flags.writeable = attention.flags.writeable = False
    np.testing.assert_array_equal(crf(max_size=30)(image, attention)[:, ::-1], expected)


def test_arguments_stay_as_they_were(crf):
    image, attention = two_halves()
    before = image.copy(), attention.copy()
    crf(max_size=30)(image, attention)
    crf()(image, attention)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(attention, before[1])


def scenes():
    """Images of several sizes with several numbers of labels, as tensors."""
    pairs = [
        rendered(seed, labels, size) for seed, labels, size in ((0, 3, (60, 80)), (1, 2, (90, 70)), (2, 3, (60, 80)), (3, 1, (20, 30)))
    ]
    return tuple([torch.from_numpy(array) for array in arrays] for arrays in zip(*pairs, strict=True))


def test_an_image_of_a_batch_gets_the_labels_that_it_gets_alone(crf):
    images, attention = scenes()
    together = crf(max_size=70).batch(images, attention)
    for image, maps, labels in zip(images, attention, together, strict=True):
        alone = crf(max_size=70)(image.numpy(), maps.numpy())
        assert labels.dtype == torch.int64
        np.testing.assert_array_equal(labels.numpy(), alone)
    assert crf().batch([], []) == []


@elsewhere
def test_on_a_gpu_masks_are_those_of_the_cpu_in_every_run_and_batch(device):
    images, attention = scenes()
    on_gpu = [[tensor.to(device) for tensor in tensors] for tensors in (images, attention)]
    cpu, first, second = DenseCRF(backend='torch').batch(images, attention), DenseCRF().batch(*on_gpu), DenseCRF().batch(*on_gpu)
    for index, (ours, labels, again) in enumerate(zip(cpu, first, second, strict=True)):
        assert labels.device.type == device and torch.equal(labels.cpu(), again.cpu())
        assert torch.equal(DenseCRF().batch([on_gpu[0][index]], [on_gpu[1][index]])[0].cpu(), labels.cpu())
        assert worst_iou(labels.cpu().numpy(), ours.numpy()) >= 0.99
    with pytest.raises(ValueError, match='pydensecrf runs on the CPU'):
        build_crf(dict(backend='pydensecrf')).batch(*on_gpu)


def test_a_crf_is_built_from_settings_or_by_the_name_of_a_preset():
    assert build_crf('deeplab') == DenseCRF() and build_crf(dict(iterations=3)) == DenseCRF(iterations=3) and build_crf(None) is None
    small = dict(bilateral_xy=40, bilateral_compat=6, gaussian_xy=2, iterations=5, max_size=320)
    deeplab = dict(bilateral_xy=80, bilateral_rgb=13, bilateral_compat=10, gaussian_xy=3, gaussian_compat=3, iterations=10, max_size=500)
    assert build_crf('small') == DenseCRF(**small) and build_crf('deeplab') == DenseCRF(**deeplab)
    assert build_crf(dict(preset='small', iterations=3)) == DenseCRF(**(crf_module.PRESETS['small'] | dict(iterations=3)))
    with pytest.raises(ValueError, match="no CRF preset 'deeplap'.*deeplab, small"):
        build_crf('deeplap')
    with pytest.raises(ValueError, match="'auto', 'pydensecrf', 'torch'.*'cuda'"):
        build_crf(dict(backend='cuda'))


def test_pydensecrf_serves_the_cpu_where_it_is_installed(capsys):
    pytest.importorskip('pydensecrf.densecrf')
    crf_module._say_once.cache_clear()
    assert DenseCRF().cpu_backend == 'pydensecrf'
    assert 'pydensecrf' not in capsys.readouterr().out


@pytest.mark.usefixtures('_no_pydensecrf')
def test_without_pydensecrf_the_log_says_once_that_pytorch_serves(monkeypatch):
    lines = []
    monkeypatch.setattr(crf_module, 'print_log', lambda message, logger: lines.append(message))
    image, attention = two_halves()
    for preset in ('small', 'deeplab'):
        crf = build_crf(preset)
        assert crf.cpu_backend == 'torch'
        assert (crf(image, attention) == (np.arange(60) >= 25)).all()
    assert lines == ['pydensecrf is not installed: the dense CRF runs in PyTorch operations, which give the same masks.']
    with pytest.raises(ImportError, match="backend 'pydensecrf' is not installed.*use 'auto' or 'torch'"):
        DenseCRF(backend='pydensecrf')


def test_what_runs_on_the_cpu_is_part_of_the_text_that_names_a_label_stores_generator(request):
    pytest.importorskip('pydensecrf.densecrf')
    installed = repr(DenseCRF())
    request.getfixturevalue('_no_pydensecrf')
    assert repr(DenseCRF()) != installed
    assert repr(pickle.loads(pickle.dumps(DenseCRF(backend='torch')))) == repr(DenseCRF(backend='torch'))
