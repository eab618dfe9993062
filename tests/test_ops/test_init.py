"""Kernels that replace those of mmcv.ops."""

import importlib.machinery
import importlib.util
import subprocess
import sys

import pytest
import torch
import torchvision.ops as tv
from devices import elsewhere

import mmlabelpenet
from mmlabelpenet import ops
from mmlabelpenet.ops import torchvision_kernels

DEVICES = ['cpu', pytest.param('cuda', marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')])]


def compiled_extension():
    """mmcv's real extension, or None."""
    import mmcv

    spec = importlib.machinery.PathFinder.find_spec('mmcv._ext', mmcv.__path__)
    return None if spec is None else importlib.util.module_from_spec(spec)


def random_boxes(count, seed, side=64.0, device='cpu'):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * side * 0.7
    size = torch.rand(count, 2, generator=generator) * side * 0.3 + 1
    return torch.cat((corner, corner + size), 1).to(device)


def random_rois(count, seed, images=2, device='cpu'):
    index = torch.arange(count, device=device).remainder(images)[:, None].float()
    return torch.cat((index, random_boxes(count, seed, device=device)), 1)


def random_map(seed, device='cpu', dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 16, 16, generator=generator).to(device, dtype)


def slow_softnms(boxes, scores, iou_threshold, sigma, min_score, method, offset):
    """Soft-NMS one pair at a time."""
    left = [(i, *map(float, box), float(s)) for i, (box, s) in enumerate(zip(boxes, scores))]
    kept = []
    while left:
        best = max(left, key=lambda item: item[5])
        left.remove(best)
        kept.append(best)
        decayed = []
        for i, x1, y1, x2, y2, score in left:
            w = max(0.0, min(x2, best[3]) - max(x1, best[1]) + offset)
            h = max(0.0, min(y2, best[4]) - max(y1, best[2]) + offset)
            area = (x2 - x1 + offset) * (y2 - y1 + offset)
            best_area = (best[3] - best[1] + offset) * (best[4] - best[2] + offset)
            iou = w * h / (area + best_area - w * h)
            if method == 'gaussian':
                score *= torch.exp(torch.tensor(-(iou**2) / sigma)).item()
            elif iou >= iou_threshold:
                score *= 0.0 if method == 'naive' else 1 - iou
            if score >= min_score:
                decayed.append((i, x1, y1, x2, y2, score))
        left = decayed
    return [item[0] for item in kept], [item[5] for item in kept]


def run_python(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)


def test_importing_the_package_imports_nothing_heavy():
    result = run_python("import mmlabelpenet, sys; print(sorted({'torch', 'mmcv', 'mmdet', 'mmengine', 'cv2'} & set(sys.modules)))")
    assert result.stdout.strip() == '[]', result.stderr


def test_installing_again_changes_nothing():
    before = list(sys.meta_path)
    ops.install()
    assert sys.meta_path == before


def test_an_extension_that_exists_is_used(tmp_path):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv' / '__init__.py').touch()
    (tmp_path / 'mmcv' / '_ext.py').write_text("nms = 'compiled'")
    code = (
        f'import sys; sys.path.insert(0, {str(tmp_path)!r}); import mmlabelpenet; import mmcv._ext; '
        'print(mmcv._ext.nms); print(mmlabelpenet.ops.kernels())'
    )
    result = run_python(code)
    assert result.stdout.startswith("compiled\nmmcv's compiled extension provides"), result.stderr


@pytest.mark.skipif(compiled_extension() is not None, reason='mmcv has its compiled extension')
def test_an_op_that_is_not_served_names_itself_when_called():
    from mmcv.ops import deform_conv2d

    with pytest.raises(NotImplementedError, match='deform_conv_forward'):
        deform_conv2d(torch.ones(1, 1, 5, 5), torch.zeros(1, 18, 3, 3), torch.ones(1, 1, 3, 3))
    extension = importlib.import_module(ops.EXTENSION)
    assert extension.__name__ == ops.EXTENSION and not hasattr(extension, '__path__')


@pytest.mark.skipif(compiled_extension() is not None, reason='mmcv has its compiled extension')
def test_the_environment_report_of_mmcv_works_without_the_extension():
    from mmcv.utils import collect_env

    assert 'torchvision' in collect_env()['MMCV Compiler']


def test_the_log_says_once_which_kernels_serve(caplog):
    from mmengine.logging import MMLogger

    ops._logged.clear()
    logger = MMLogger.get_instance('kernels', logger_name='kernels')
    lines = []
    logger.handle = lambda record: lines.append(record.getMessage())
    ops.log_kernels()
    ops.log_kernels()
    assert lines == [ops.kernels()]
    served = importlib.util.find_spec(ops.EXTENSION).origin == 'mmlabelpenet.ops'
    assert lines[0].startswith('torchvision' if served else "mmcv's compiled extension")


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('seed', range(3))
def test_nms_keeps_what_torchvision_keeps(device, seed):
    from mmcv.ops import nms

    boxes = random_boxes(50, seed, device=device)
    scores = torch.rand(50, generator=torch.Generator().manual_seed(seed)).to(device)
    dets, kept = nms(boxes, scores, 0.3, max_num=20)
    expected = tv.nms(boxes, scores, 0.3)[:20]
    assert kept.tolist() == expected.tolist()
    assert 2 < len(kept) < 50
    torch.testing.assert_close(dets, torch.cat((boxes, scores[:, None]), 1)[expected])


def test_nms_with_offset_one_counts_pixels_at_both_ends():
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 5, 9, 14]])  # IoU 36/126 = 0.286 half-open, 50/150 = 0.333 with both ends inside
    scores = torch.tensor([0.9, 0.8])
    assert len(nms(boxes, scores, 0.3, offset=0)[1]) == 2
    assert len(nms(boxes, scores, 0.3, offset=1)[1]) == 1


def test_nms_of_classes_is_done_class_by_class():
    from mmcv.ops import batched_nms

    boxes = torch.tensor([[0.0, 0, 9, 9]] * 3)
    _, kept = batched_nms(boxes, torch.tensor([0.5, 0.9, 0.7]), torch.tensor([0, 0, 1]), {'type': 'nms', 'iou_threshold': 0.5})
    assert kept.tolist() == [1, 2]


def test_nms_of_nothing_is_nothing():
    from mmcv.ops import nms, soft_nms

    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5)[0].shape == (0, 5)
    assert soft_nms(torch.zeros(0, 4), torch.zeros(0))[0].shape == (0, 5)


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
def test_soft_nms_equals_a_slow_one(method, offset):
    from mmcv.ops import soft_nms

    boxes = random_boxes(40, 5)
    scores = torch.rand(40, generator=torch.Generator().manual_seed(5))
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, 0.05, method, offset)
    indices, new_scores = slow_softnms(boxes, scores, 0.3, 0.5, 0.05, method, offset)
    assert kept.tolist() == indices
    torch.testing.assert_close(dets[:, 4], torch.tensor(new_scores))
    assert torch.equal(dets[:, :4], boxes[kept])
    assert len(indices) < 40


@pytest.mark.parametrize(('method', 'score'), [('naive', None), ('linear', 0.25)])
def test_an_overlap_of_just_the_threshold_lowers_a_score(method, score):
    from mmcv.ops import soft_nms

    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 2]])
    dets, _ = soft_nms(boxes, torch.tensor([1.0, 0.5]), 0.5, min_score=0.001, method=method)
    assert dets[:, 4].tolist() == ([1.0] if score is None else [1.0, score])


@elsewhere
@pytest.mark.parametrize('count', [0, 8])
def test_soft_nms_stays_on_the_device(device, count):
    boxes, scores = random_boxes(count, 5), torch.rand(count, generator=torch.Generator().manual_seed(5))
    found = []
    for place in ('cpu', device):
        dets = torch.zeros(count, 5, device=place)
        kept = torchvision_kernels.softnms(boxes.to(place), scores.to(place), dets, 0.3, 0.5, 0.05, 1, 0)
        assert kept.device.type == place
        found.append((kept.tolist(), dets.tolist()))
    assert found[0] == found[1]


@elsewhere
def test_gradients_are_added_on_the_device(device):
    rois, places = torch.tensor([[1.0, 0, 0, 4, 4], [0, 0, 0, 4, 4]]), torch.tensor([[[[1]], [[-1]]], [[[3]], [[0]]]], dtype=torch.int)
    gradient = torch.tensor([[[[1.0]], [[2.0]]], [[[3.0]], [[4.0]]]])
    found = torchvision_kernels._add_at(gradient.to(device), rois.to(device), places.to(device), torch.Size((2, 2, 2, 2)))
    assert found.device.type == device and found.tolist() == [[[[0, 0], [0, 3]], [[4, 0], [0, 0]]], [[[0, 1], [0, 0]], [[0, 0], [0, 0]]]]


def test_soft_nms_leaves_the_scores_that_it_is_given():
    boxes, scores = random_boxes(8, 5), torch.linspace(0.5, 1, 8)
    before = scores.clone()
    torchvision_kernels.softnms(boxes, scores, torch.zeros(8, 5), 0.1, 0.5, 0.0, 2, 0)
    assert torch.equal(scores, before)


def test_a_score_of_just_the_least_one_stays():
    from mmcv.ops import soft_nms

    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 2]])
    assert [len(soft_nms(boxes, torch.tensor([1.0, 0.5]), 0.3, min_score=least, method='linear')[1]) for least in (0.25, 0.26)] == [2, 1]


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_and_its_gradient_equal_those_of_torchvision(device, aligned, sampling_ratio):
    from mmcv.ops import RoIAlign

    rois = random_rois(6, 1, device=device)
    ours, theirs = (random_map(2, device).requires_grad_() for _ in range(2))
    got = RoIAlign(7, 0.25, sampling_ratio, aligned=aligned)(ours, rois)
    expected = tv.roi_align(theirs, rois, 7, 0.25, sampling_ratio, aligned)
    torch.testing.assert_close(got, expected)
    weights = torch.randn(got.shape, generator=torch.Generator().manual_seed(3)).to(device)
    (got * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert ours.grad.abs().sum() > 0


def test_roi_align_has_no_maximum():
    from mmcv.ops import RoIAlign

    with pytest.raises(NotImplementedError, match="pool_mode='max'"):
        RoIAlign(2, pool_mode='max')(random_map(0), random_rois(1, 0))


def test_gradients_equal_finite_differences():
    from mmcv.ops import roi_align, roi_pool

    feats = random_map(4, dtype=torch.float64).requires_grad_()
    rois = random_rois(3, 7).double()
    assert torch.autograd.gradcheck(lambda x: roi_align(x, rois, 2, 0.25, 2, 'avg', True), feats)
    assert torch.autograd.gradcheck(lambda x: roi_pool(x, rois, 2, 0.25), feats)


def test_a_roi_beyond_the_map_gives_zeros_and_no_gradient():
    from mmcv.ops import roi_pool

    feats = random_map(0).requires_grad_()
    pooled = roi_pool(feats, torch.tensor([[0.0, 900, 900, 950, 950]]), 2, 0.25)
    pooled.sum().backward()
    assert pooled.abs().sum() == 0
    assert feats.grad.abs().sum() == 0


def test_no_roi_gives_an_empty_result_and_a_zero_gradient():
    from mmcv.ops import roi_align, roi_pool

    for op in (roi_align, roi_pool):
        feats = random_map(0).requires_grad_()
        pooled = op(feats, torch.zeros(0, 5), 7, 0.25)
        assert pooled.shape == (0, 3, 7, 7)
        pooled.sum().backward()
        assert feats.grad.abs().sum() == 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_inputs_are_served(dtype):
    from mmcv.ops import nms, roi_align, roi_pool

    rois = random_rois(4, 1)
    for op in (roi_align, roi_pool):
        feats = random_map(2, dtype=dtype).requires_grad_()
        pooled = op(feats, rois.to(dtype), 3, 0.25)
        pooled.sum().backward()
        assert pooled.dtype == feats.grad.dtype == dtype
        expected = op(feats.detach().float(), rois.to(dtype).float(), 3, 0.25)
        torch.testing.assert_close(pooled.float(), expected, rtol=0.02, atol=0.02)
    boxes = random_boxes(10, 3).to(dtype)
    assert len(nms(boxes, torch.linspace(0, 1, 10).to(dtype), 0.3)[1]) > 0


@pytest.mark.skipif(compiled_extension() is None, reason="mmcv's compiled extension is not installed")
def test_torchvision_kernels_equal_the_compiled_extension():
    from mmcv.ops import roi_align, roi_pool, soft_nms

    feats = random_map(2)
    rois = random_rois(6, 1).floor()
    rois[:, 1:] = (rois[:, 1:] / 4).floor()  # whole cells at stride 1, where both kinds of RoIPool agree
    pooled, where = torch.zeros(6, 3, 2, 2), torch.zeros(6, 3, 2, 2, dtype=torch.int)
    torchvision_kernels.roi_pool_forward(feats, rois, pooled, where, 2, 2, 1.0)
    torch.testing.assert_close(pooled, roi_pool(feats, rois, 2, 1.0))
    aligned = torch.zeros(6, 3, 2, 2)
    torchvision_kernels.roi_align_forward(feats, rois, aligned, where, where, 2, 2, 1.0, 2, 1, True)
    torch.testing.assert_close(aligned, roi_align(feats, rois, 2, 1.0, 2, 'avg', True))
    boxes = random_boxes(40, 5)
    scores = torch.rand(40, generator=torch.Generator().manual_seed(5))
    dets = torch.zeros(40, 5)
    kept = torchvision_kernels.softnms(boxes, scores, dets, 0.3, 0.5, 0.05, 1, 0)
    expected, indices = soft_nms(boxes, scores, 0.3, 0.5, 0.05, 'linear')
    assert kept.tolist() == indices.tolist()
    torch.testing.assert_close(dets[: len(kept)], expected)


def test_the_package_has_a_version():
    assert mmlabelpenet.__version__


@pytest.mark.skipif(compiled_extension() is not None, reason='mmcv has its compiled extension')
@pytest.mark.parametrize('device', DEVICES)
def test_deformable_attention_and_its_gradients_are_those_of_pytorch(device):
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch

    generator = torch.Generator().manual_seed(0)
    shapes = torch.tensor([[6, 8], [3, 4]], device=device)
    sizes = dict(value=(2, 60, 2, 4), locations=(2, 5, 2, 2, 3, 2), weights=(2, 5, 2, 2, 3))
    first = {name: torch.rand(size, generator=generator, dtype=torch.float64).to(device).requires_grad_() for name, size in sizes.items()}
    second = {name: value.detach().clone().requires_grad_() for name, value in first.items()}
    starts = torch.tensor([0, 48], device=device)
    ours = MultiScaleDeformableAttnFunction.apply(first['value'], shapes, starts, first['locations'], first['weights'], 64)
    plain = multi_scale_deformable_attn_pytorch(second['value'], shapes, second['locations'], second['weights'])
    torch.testing.assert_close(ours, plain)
    pull = torch.rand(ours.shape, generator=generator, dtype=torch.float64).to(device)
    ours.backward(pull)
    plain.backward(pull)
    for name, value in first.items():
        assert value.grad.abs().sum() > 0
        torch.testing.assert_close(value.grad, second[name].grad)
