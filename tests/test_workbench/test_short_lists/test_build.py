"""The short lists of VOC 2012 from an official one."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.short_lists import build
from mmlabelpenet.workbench.short_lists.build import ANIMALS, build_short_lists, names_of

NAMES = dict(mini_train=[0, 4], mini_test=[1, 5], mini_test_clean=[5], animals_train=[2, 3, 6])  # of the small data, with and without masks


@pytest.fixture
def official(workspace):
    return workspace / 'data/VOCdevkit/VOC2012'


@pytest.fixture
def _few(monkeypatch):
    monkeypatch.setattr(build, 'names_of', lambda split: [f'2008_{number:06d}' for number in NAMES[split]])
    monkeypatch.setattr(build, 'LONGEST', 100)


def test_the_lists_are_whole_sorted_and_apart():
    lists = {split: names_of(split) for split in NAMES}
    assert all(names == sorted(set(names)) for names in lists.values())
    assert not set(lists['mini_train']) & set(lists['mini_test']) and set(lists['mini_test_clean']) < set(lists['mini_test'])
    assert not set(lists['animals_train']) & {*lists['mini_train'], *lists['mini_test']}


@pytest.mark.usefixtures('_few')
def test_the_devkit_has_images_tags_boxes_and_masks_of_every_list(official, tmp_path):
    counts = build_short_lists(official, tmp_path / 'mini')
    source, made = VOCDevkit(official, VOC_CLASSES), VOCDevkit(tmp_path / 'mini', VOC_CLASSES)
    assert counts == {split: len(made.image_ids(split)) for split in counts} == {**{k: len(v) for k, v in NAMES.items()}, 'animals_test': 4}
    for split in counts:
        for image_id, tags in made.tags(split).items():
            objects = source.objects(image_id)
            assert tags == sorted(set(objects.labels.tolist())) and not made.objects(image_id).difficult.any()
            assert bool(set(tags) & {VOC_CLASSES.index(name) for name in ANIMALS})
            assert (made.instance_masks(image_id) is not None) == (split != 'animals_train')
    for image_id in made.image_ids('mini_train'):
        assert np.array_equal(made.objects(image_id).bboxes, source.objects(image_id).bboxes)
        assert np.array_equal(made.class_mask(image_id), source.class_mask(image_id))


@pytest.mark.usefixtures('_few')
def test_animals_are_reduced_with_their_boxes(official, tmp_path):
    build_short_lists(official, tmp_path / 'mini')
    source, made = VOCDevkit(official, VOC_CLASSES), VOCDevkit(tmp_path / 'mini', VOC_CLASSES)
    for image_id in made.image_ids('animals_train'):
        assert max(made.image_size(image_id)) == 100 and max(source.image_size(image_id)) == 128
        np.testing.assert_allclose(made.objects(image_id).bboxes, source.objects(image_id).bboxes * 100 / 128, atol=0.51)
        image = cv2.resize(cv2.imread(str(source.image_path(image_id))), made.image_size(image_id)[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(cv2.imread(str(made.image_path(image_id))).astype(int) - image).mean() < 3
    steps = {}
    for split in ('mini_train', 'animals_train'):
        with Image.open(made.image_path(made.image_ids(split)[0])) as image:
            steps[split] = image.quantization[0]
    assert steps['mini_train'] < steps['animals_train']  # finer steps of the greater quality


@pytest.mark.usefixtures('_few')
def test_official_masks_are_taken_as_they_are(official, tmp_path):
    build_short_lists(official, tmp_path / 'mini', masks='official')
    for path in (tmp_path / 'mini/SegmentationObject').iterdir():
        assert path.read_bytes() == (official / f'SegmentationObject/{path.name}').read_bytes()
    with pytest.raises(FileExistsError, match='already exists'):
        build_short_lists(official, tmp_path / 'mini')


def test_what_is_missing_is_counted_and_nothing_is_written(official, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'58\d\d of 5854 files are missing, the first is .*JPEGImages/2007_000033.jpg'):
        build_short_lists(official, tmp_path / 'mini')
    with pytest.raises(ValueError, match="derived or official, got 'drawn'"):
        build_short_lists(official, tmp_path / 'mini', masks='drawn')
    assert not list(tmp_path.iterdir())
