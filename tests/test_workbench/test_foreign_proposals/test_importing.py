"""Import of proposals from other programs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import toy
import warm
from scipy.io import savemat

from mmlabelpenet.datasets.proposals import ProposalFile
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.files import file_hash
from mmlabelpenet.workbench.foreign_proposals.importing import Tidied, import_record
from mmlabelpenet.workbench.foreign_proposals.layouts import MATLAB, PLAIN, BoxLayout
from mmlabelpenet.workbench.foreign_proposals.readers import Foreign
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES

TOOL = Path(__file__).resolve().parents[3] / 'tools/dataset_converters/import_proposals.py'


def record(boxes, scores=None, size=(20, 30), layout=PLAIN, **kwargs):
    foreign = Foreign(
        {'a': np.array(boxes, np.float64).reshape(-1, 4)}, {} if scores is None else {'a': np.array(scores, np.float64)}, layout
    )
    tidied = Tidied()
    return import_record('a', size, foreign, layout, tidied=tidied, **kwargs), tidied


def test_boxes_up_to_a_pixel_outside_are_cut_and_counted():
    found, tidied = record([[-1, 0, 10, 10], [0, 0, 30.5, 21], [1, 1, 5, 5]])
    assert sorted(found.bboxes.tolist()) == [[0, 0, 10, 10], [0, 0, 30, 20], [1, 1, 5, 5]] and tidied.clipped == 2
    assert str(tidied) == '2 clipped at the border by up to a pixel'


def test_empty_small_and_repeated_boxes_are_dropped_and_counted():
    found, tidied = record([[5, 5, 5, 9], [1, 1, 4, 9], [1, 1, 9, 9], [1, 1, 9, 9], [30, 2, 31, 5]], min_size=4)
    assert found.bboxes.tolist() == [[1, 1, 9, 9]] and found.scores.tolist() == [1]
    assert (tidied.empty, tidied.small, tidied.repeated, tidied.clipped) == (2, 1, 1, 1)


def test_of_equal_boxes_the_best_score_stays_and_the_order_is_that_of_scores():
    found, _ = record([[0, 0, 5, 5], [1, 1, 9, 9], [0, 0, 5, 5]], [0.1, 0.5, 0.9])
    assert found.bboxes.tolist() == [[0, 0, 5, 5], [1, 1, 9, 9]] and np.allclose(found.scores, [0.9, 0.5])


def test_an_image_without_proposals_gets_itself_and_is_counted():
    for boxes in ([], [[3, 3, 3, 3]]):
        found, tidied = record(boxes)
        assert found.bboxes.tolist() == [[0, 0, 30, 20]] and found.scores.tolist() == [1] and tidied.without == 1


@pytest.mark.parametrize(
    ('boxes', 'layout', 'error'),
    [
        ([[1, 1, 30, 20]], MATLAB, r'read as yxyx from pixel 1: the first is \[1.0, 1.0, 30.0, 20.0\]. They would fit as xyxy or xywh.'),
        ([[20, 10, 10, 10]], PLAIN, 'They would fit as xywh.'),
        ([[0, 0, 100, 100]], PLAIN, 'Is the file for other images, or for images of another size'),
        ([[0, 0, np.nan, 5]], PLAIN, '1 of 1 box of .a. is not inside its 20 x 30 pixels'),
    ],
)
def test_boxes_outside_are_refused_with_the_order_that_would_fit(boxes, layout, error):
    with pytest.raises(ValueError, match=error):
        record(boxes, layout=layout)


def test_scores_that_are_no_numbers_are_refused_on_writing(tmp_path):
    from mmlabelpenet.workbench.proposal_writer import write_proposals

    found, _ = record([[0, 0, 5, 5]], [np.nan])
    with pytest.raises(ValueError, match='need finite boxes and scores'):
        write_proposals(tmp_path / 'a.npz', [found], {})


@pytest.fixture(scope='module')
def devkit(toy_root):
    return VOCDevkit(toy_root, RENDERED_CLASSES)


@pytest.fixture(scope='module')
def main():
    spec = importlib.util.spec_from_file_location('import_proposals', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def write_truth(devkit, path, layout=MATLAB):
    """A file of the objects themselves, as MATLAB would have them."""
    ids = devkit.image_ids('train')
    boxes, names = np.empty(len(ids), object), np.empty(len(ids), object)
    for k, image_id in enumerate(ids):
        x1, y1, x2, y2 = devkit.objects(image_id).bboxes.T
        names[k], boxes[k] = image_id, np.stack([y1 + 1, x1 + 1, y2, x2] if layout.order == 'yxyx' else [x1 + 1, y1 + 1, x2, y2], 1)
    savemat(path, dict(boxes=boxes, images=names))


def test_objects_written_as_matlab_would_are_found_again_whole(main, devkit, toy_root, tmp_path, capsys):
    write_truth(devkit, tmp_path / 'truth.mat')
    main([str(tmp_path / 'truth.mat'), str(toy_root), 'train', str(tmp_path / 'ours.npz'), '--method', 'edge boxes'])
    out = capsys.readouterr().out
    assert 'boxes read as yxyx from pixel 1, last pixel included' in out and 'IoU at 0.5: 100.0 %, at 0.7: 100.0 %' in out
    proposals = ProposalFile(tmp_path / 'ours.npz')
    assert proposals.settings['method'] == 'edge boxes' and proposals.settings['source'] == 'truth.mat'
    for image_id in devkit.image_ids('train'):
        objects = devkit.objects(image_id).bboxes
        found, _ = proposals.get(image_id)
        assert proposals.size(image_id) == (toy.HEIGHT, toy.WIDTH)
        assert sorted(found.tolist()) == sorted(np.unique(objects, axis=0).tolist())
        assert proposals.image_hash(image_id) == file_hash(devkit.image_path(image_id))[:16]


def test_another_order_is_said_or_noticed(main, devkit, toy_root, tmp_path, capsys):
    write_truth(devkit, tmp_path / 'truth.mat', BoxLayout('xyxy'))
    arguments = [str(tmp_path / 'truth.mat'), str(toy_root), 'train', str(tmp_path / 'ours.npz')]
    with pytest.raises(ValueError, match='They would fit as xyxy'):
        main(arguments)
    assert not (tmp_path / 'ours.npz').exists()
    main([*arguments, '--order', 'xyxy'])
    assert 'at 0.7: 100.0 %' in capsys.readouterr().out
    with pytest.raises(ValueError, match='already exists'):
        main([*arguments, '--order', 'xyxy'])
    main([*arguments, '--order', 'xyxy', '--overwrite', '--first-pixel', '0', '--last-pixel', 'outside'])
    assert ProposalFile(tmp_path / 'ours.npz').settings['last_inside'] is False


def test_boxes_that_fit_in_both_orders_are_pointed_out_before_they_are_written(main, devkit, toy_root, tmp_path, capsys):
    ids, cells = devkit.image_ids('train'), np.empty(len(devkit.image_ids('train')), object)
    for k in range(len(ids)):
        cells[k] = np.array([[2.0, 3, 9, 12]])
    savemat(tmp_path / 'ss.mat', dict(boxes=cells))
    main([str(tmp_path / 'ss.mat'), str(toy_root), 'train', str(tmp_path / 'ours.npz')])
    out = capsys.readouterr().out
    assert out.startswith('Note: all boxes would also fit as xyxy or xywh, and are read as yxyx: the first one of')
    assert '[2.0, 1.0, 12.0, 9.0] (x1 y1 x2 y2)' in out.splitlines()[0]
    main([str(tmp_path / 'ss.mat'), str(toy_root), 'train', str(tmp_path / 'ours.npz'), '--overwrite', '--order', 'yxyx'])
    assert 'Note' not in capsys.readouterr().out


def test_the_command_ends_with_one_line_and_its_help_loads_nothing(toy_root, tmp_path):
    done = warm.run(TOOL, 'nothing.mat', toy_root, 'train', tmp_path / 'a.npz')
    assert done.returncode == 1 and done.stderr.startswith("Error: Expected proposals at 'nothing.mat'") and 'Traceback' not in done.stderr
