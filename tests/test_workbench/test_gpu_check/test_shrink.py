"""A downscaled devkit."""

import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
import toy
from PIL import Image

from mmlabelpenet.datasets.proposals import ProposalFile
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.gpu_check.shrink import shrink_devkit
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES


@pytest.fixture
def devkit(toy_root, tmp_path):
    """The toy devkit with its proposals inside."""
    shutil.copytree(toy_root, tmp_path / 'devkit')
    (tmp_path / 'devkit/proposals').mkdir()
    for split in ('train', 'test'):
        shutil.copy(toy_root.parent / f'{split}.npz', tmp_path / f'devkit/proposals/{split}.npz')
    return tmp_path / 'devkit'


def test_boxes_masks_and_proposals_shrink_with_their_images(devkit, tmp_path):
    assert shrink_devkit(devkit, tmp_path / 'small', longest=64) == 8
    before, after = (VOCDevkit(root, RENDERED_CLASSES) for root in (devkit, tmp_path / 'small'))
    for split in ('train', 'test'):
        old, new = (ProposalFile(root / f'proposals/{split}.npz') for root in (devkit, tmp_path / 'small'))
        assert before.image_ids(split) == after.image_ids(split)
        for name in before.image_ids(split):
            assert after.image_size(name) == (toy.HEIGHT // 2, toy.WIDTH // 2)
            with Image.open(after.image_path(name)) as image:
                assert image.size == (64, 48)
            np.testing.assert_allclose(after.objects(name).bboxes, before.objects(name).bboxes / 2, atol=1)
            np.testing.assert_array_equal(after.objects(name).labels, before.objects(name).labels)
            assert after.instance_masks(name).masks.shape[1:] == (48, 64)
            np.testing.assert_allclose(np.sort(new.get(name)[0], 0), np.sort(old.get(name)[0] / 2, 0), atol=1e-3)


def test_images_that_are_small_keep_their_size_and_boxes(devkit, tmp_path):
    shrink_devkit(devkit, tmp_path / 'same', longest=400)
    for path in (devkit / 'Annotations').iterdir():
        texts = [
            ElementTree.tostring(ElementTree.parse(root / f'Annotations/{path.name}').getroot()) for root in (devkit, tmp_path / 'same')
        ]
        assert texts[0] == texts[1]


def test_a_devkit_without_proposals_or_known_lists_is_refused(toy_root, tmp_path):
    with pytest.raises(FileNotFoundError, match='selective_search.py'):
        shrink_devkit(toy_root, tmp_path / 'small')
    (tmp_path / 'other/ImageSets/Main').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='mini_train and mini_test, train and test'):
        shrink_devkit(tmp_path / 'other', tmp_path / 'small')
    assert not (tmp_path / 'small').exists()
