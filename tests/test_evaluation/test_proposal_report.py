import numpy as np
import pytest
from random_images import SIZE
from tiny_devkit import CLASSES, write_devkit

from mmlabelpenet.datasets.proposals import ProposalFile, ProposalRecord
from mmlabelpenet.evaluation.proposal_report import describe_proposals
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.proposal_writer import write_proposals


@pytest.mark.parametrize('none', [False, True])
def test_recall_is_that_of_annotated_objects_that_are_not_difficult(tmp_path, none):
    objects = dict(gt_bboxes=np.array([[0, 0, 4, 4], [6, 0, 11, 2], [0, 8, 2, 10]]), gt_labels=[0, 1, 2], gt_difficult=[0, 0, 1])
    images = {name: dict(objects, gt_masks=None) for name in ('a', 'b', 'c')}
    devkit = VOCDevkit(write_devkit(tmp_path, images), CLASSES)
    for name in ('b', 'c'):
        (tmp_path / f'Annotations/{name}.xml').unlink()
    boxes = {'a': [[0, 0, 4, 4], [6, 0, 9, 2]], 'b': [[1, 1, 2, 2]], 'c': [[1, 1, 2, 2]] * 6}
    if none:
        boxes['a'] = np.zeros((0, 4))
    records = [ProposalRecord(name, SIZE, np.array(found, np.float32), np.ones(len(found), np.float32)) for name, found in boxes.items()]
    write_proposals(tmp_path / 'p.npz', records, {})
    counts, recall = describe_proposals(devkit, list(images), ProposalFile(tmp_path / 'p.npz'))
    mean, least, median, shares = (2, 0, 1, 'at 0.5: 0.0 %, at 0.7: 0.0 %; average best overlap 0.0 %')
    if not none:
        mean, least, median, shares = (3, 1, 2, 'at 0.5: 100.0 %, at 0.7: 50.0 %; average best overlap 80.0 %')
    expected = f'3 images, proposals per image: mean {mean}, minimum {least}, median {median}, maximum 6'
    assert counts == f'{tmp_path / "p.npz"}: {expected}'
    assert recall == f'recall of 2 objects in 1 annotated image (without difficult ones), IoU {shares}'
