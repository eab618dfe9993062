import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import toy
from mmengine.registry import init_default_scope

from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES
from mmlabelpenet.workbench.report.trace import trace

TOOL = Path(__file__).resolve().parents[3] / 'tools/analysis_tools/trace.py'


@pytest.fixture
def data(toy_root):
    init_default_scope('mmlabelpenet')
    return DATASETS.build(toy.dataset_config(toy_root, train=False))[1]


def test_a_trace_leads_from_tags_to_the_result(toy_net, data, toy_root):
    tags = int(data['data_samples'].gt_image_labels.onehot.sum())
    rows = trace(toy_net.eval(), data, RENDERED_CLASSES, VOCDevkit(toy_root, RENDERED_CLASSES), scale=2)
    kinds = {name: [tile.kind for tile in tiles] for name, tiles in rows.items()}
    assert list(rows) == ['input', *toy.STAGES]
    assert kinds['input'] == ['input', 'proposals', 'truth']
    for name in toy.STAGES[:3]:
        assert kinds[name] == ['scores'] * tags + ['attention'] * tags + ['crf', 'labels', 'prediction']
    assert kinds['segmentation'] == ['prediction']
    assert all(tile.image.shape == (2 * toy.HEIGHT, 2 * toy.WIDTH, 3) for tiles in rows.values() for tile in tiles)


def test_tracing_leaves_network_and_sample_as_they_were(toy_net, data):
    toy_net.eval()
    before, boxes = toy.weights(toy_net), data['data_samples'].proposals.bboxes.clone()
    trace(toy_net, data, RENDERED_CLASSES)
    assert toy.different(before, toy.weights(toy_net)) == [] and torch.equal(boxes, data['data_samples'].proposals.bboxes)


def test_a_trace_may_leave_the_photograph_out(toy_net, data, monkeypatch):
    rows = trace(toy_net.eval(), data, RENDERED_CLASSES, blank=True)
    assert np.unique(rows['input'][0].image).tolist() == [225]
    monkeypatch.setattr('mmlabelpenet.workbench.report.trace.read_rgb', lambda path: np.zeros((toy.HEIGHT, toy.WIDTH, 3), np.uint8))
    other = trace(toy_net, data, RENDERED_CLASSES, blank=True)
    assert all(np.array_equal(a.image, b.image) for name in rows for a, b in zip(rows[name], other[name], strict=True))


def test_an_image_without_annotation_has_no_truth(toy_net, data, tmp_path):
    assert [tile.kind for tile in trace(toy_net.eval(), data, RENDERED_CLASSES)['input']] == ['input', 'proposals']


@pytest.mark.parametrize('name', ['image.png', 'image.webp', 'page.html'])
def test_the_tool_traces_images_of_the_data_set_and_files(toy_root, tmp_path, monkeypatch, name):
    config = toy.run_config(toy_root, tmp_path, [('classification', 1)])
    dataset = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, dataset=dataset)
    config.dump(tmp_path / 'toy.py')
    torch.save({'state_dict': toy.build(toy.model_config(), seed=2).state_dict(), 'meta': {}}, tmp_path / 'iter_1.pth')
    spec = importlib.util.spec_from_file_location('trace', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    known = [str(tmp_path / 'toy.py'), str(tmp_path / 'iter_1.pth')]
    tool.main([*known, 'test_00000', '--out', str(tmp_path / name), '--width', '128'])
    if name.startswith('image'):
        assert cv2.imread(str(tmp_path / name)).shape[1] > 4 * 128
    else:
        text = (tmp_path / name).read_text()
        assert text.count('<img') >= 15 and 'attention:' in text
    file = str(toy_root / 'JPEGImages/test_00000.jpg')
    if name.endswith('png'):
        tool.main([*known, file, '--tags', 'lolly', '--out', str(tmp_path / 'file.png'), '--width', '128'])
        assert (tmp_path / 'file.png').is_file()
    for wrong, message in (([file], '--tags'), ([file, '--tags', 'loly'], "Did you mean 'lolly'"), (['ghost'], 'neither a file')):
        with pytest.raises(ValueError, match=message):
            tool.main([*known, *wrong, '--out', str(tmp_path / 'x.png')])
