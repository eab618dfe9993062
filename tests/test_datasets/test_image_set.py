"""The information about a data set that training may use."""

import pytest
import toy

from mmlabelpenet.datasets.coco import COCOImages
from mmlabelpenet.datasets.image_set import ImageSet, open_images
from mmlabelpenet.datasets.voc import VOCImages
from mmlabelpenet.evaluation.devkit import open_devkit


@pytest.mark.parametrize('kind', [ImageSet, VOCImages, COCOImages])
def test_the_image_sets_of_training_have_no_way_to_boxes_and_masks(kind):
    assert not {'objects', 'all_boxes', 'instance_masks', 'class_mask', 'is_annotated'} & set(dir(kind))


def test_lists_files_and_tags_are_those_of_the_annotated_data_set(toy_root):
    images, devkit = (open_any(toy_root, toy.RENDERED_CLASSES) for open_any in (open_images, open_devkit))
    ids = images.image_ids('train')
    assert type(images) is VOCImages and ids == devkit.image_ids('train') and images.tags('train') == devkit.tags('train')
    assert images.image_path(ids[0]) == devkit.image_path(ids[0]) and images.image_size(ids[0]) == devkit.image_size(ids[0])


def test_one_text_is_not_taken_for_a_sequence_of_classes(toy_root):
    with pytest.raises(ValueError, match=r"got the string 'cone': use metainfo=dict\(classes=\('cone', ...\)\)"):
        open_images(toy_root, 'cone')


@pytest.mark.parametrize('classes', [{'lolly', 'cone'}, {'lolly': 0, 'cone': 1}, ('lolly', 3), 5])
def test_classes_without_an_order_or_that_are_not_names_are_refused(toy_root, classes):
    """The order of a set differs between processes, but determines class indices."""
    with pytest.raises(ValueError, match='Classes must be a list or a tuple of names, whose order defines the labels'):
        open_images(toy_root, classes)
