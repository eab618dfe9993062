"""The variants compared in the suites compute the same results."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy

TOOLS = Path(__file__).resolve().parents[1] / 'tools/analysis_tools'
CONFIG = TOOLS.parents[1] / 'configs/labelpenet/labelpenet_lite0_rendered.py'


@pytest.fixture(autouse=True)
def _import_tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS / 'benchmarks'))
    monkeypatch.syspath_prepend(str(TOOLS))


def test_the_bare_layers_learn_what_the_mil_head_learns(monkeypatch):
    from benchmarks import mil

    for name, value in dict(PROPOSALS=9, CHANNELS=4, CELLS=2, WIDTH=6, CLASSES=5).items():
        monkeypatch.setattr(mil, name, value)
    (comparison,) = mil.comparisons(torch.device('cpu'))
    losses = []
    monkeypatch.setattr(mil, 'learn', lambda loss, parameters: losses.append([loss, *torch.autograd.grad(loss, parameters)]))
    for run in comparison.variants.values():
        run()
    for ours, bare in zip(*losses, strict=True):
        torch.testing.assert_close(ours, bare)
    assert all(gradient.abs().sum() > 0 for gradient in losses[0][:-2])


def test_one_autograd_pass_for_each_proposal_gives_the_maps_of_the_closed_form():
    from benchmarks.excitation import autograd_map

    from mmlabelpenet.models.weighted_heads import WeightedBBoxHead

    torch.manual_seed(0)
    box = dict(in_channels=3, roi_feat_size=4, num_classes=5, num_shared_fcs=2, fc_out_channels=16)
    head = WeightedBBoxHead(**box, bbox_coder=dict(type='DeltaXYWHBBoxCoder')).eval()
    feats, labels = torch.rand(6, 3, 4, 4), torch.tensor([0, 1, 2, 3, 4, 0])
    maps, _ = toy.attention_of(head, feats, labels)
    slow = torch.stack([autograd_map(feats[i : i + 1], head, int(label)) for i, label in enumerate(labels)])
    torch.testing.assert_close(maps, slow, atol=1e-5, rtol=1e-5)


def test_masks_without_a_cut_are_timed_on_a_model_that_has_its_cut_back(monkeypatch):
    from benchmarks import testing

    built, build = [], testing.build_model
    monkeypatch.setattr(testing, 'IMAGES', 1)
    monkeypatch.setattr(testing, 'build_model', lambda *parts: built.append(build(*parts)) or built[0])
    comparison = next(iter(testing.comparisons(torch.device('cpu'))))
    cut = built[0].inference.refinement.cut
    comparison.variants['with masks']()
    assert cut and built[0].inference.refinement.cut is cut


@pytest.mark.parametrize('name', ['detection', 'segmentation'])
def test_the_plain_detector_has_none_of_our_heads_and_all_of_their_layers(name):
    from benchmarks.cascade import build_plain

    from mmlabelpenet.apis import load_config
    from mmlabelpenet.registry import MODELS

    config = load_config(CONFIG)
    plain = build_plain(config, name, torch.device('cpu'))
    assert not [module for module in plain.modules() if type(module).__name__.startswith('Weighted')]
    ours = MODELS.build(config.model).stages[name]
    shapes = [sorted(tuple(p.shape) for p in part.parameters()) for part in (ours, plain.rpn_head, plain.roi_head, plain.backbone.tail)]
    assert shapes[0] == sorted(shapes[1] + shapes[2] + shapes[3])


def test_the_help_of_estimate_comes_without_torch():
    code = 'import runpy, sys; sys.argv = ["tool", "--help"]; sys.excepthook = lambda *_: None\n'
    code += f'try: runpy.run_path({str(TOOLS / "estimate.py")!r}, run_name="__main__")\nfinally: sys.exit("torch" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0 and 'usage' in done.stdout, done.stderr


def test_parts_of_calibration_are_timed_inside_the_whole():
    from benchmarks.calibration import PRODUCTS, OperatorWatch, Stopwatch

    crf, products = Stopwatch(lambda x: x + 1), OperatorWatch(PRODUCTS)
    with products:
        assert torch.equal(torch.ones(200, 200) @ torch.ones(200, 200), torch.full((200, 200), 200.0))
    assert crf(1) == 2 and products.seconds > 0 and crf.seconds > 0
    assert products.take() > 0 and products.take() == 0.0
    assert json.dumps(crf.take())


def test_both_crfs_of_the_suite_label_the_same_image_alike():
    from benchmarks import crf

    pytest.importorskip('pydensecrf.densecrf')
    ours, theirs = crf.comparison('deeplab', *crf.scene(3, 60, 80), torch.device('cpu')).variants.values()
    assert (ours()[0].numpy() == theirs()).mean() > 0.99
    threads = torch.get_num_threads()
    suite = crf.comparisons(torch.device('cpu'))
    assert next(suite).name == 'preset deeplab, 2 labels' and torch.get_num_threads() == 1
    suite.close()
    assert torch.get_num_threads() == threads
