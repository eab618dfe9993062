"""Images that training and testing share."""

import json
import shutil

import pytest
from mmengine.config import Config

from mmlabelpenet.apis.overlap import check_overlap


def overlapping(toy_root, **keys):
    loader = dict(dataset=dataset(toy_root, 'train'))
    return Config(dict(train_dataloader=loader, test_dataloader=loader, **keys))


def dataset(root, split):
    return dict(data_root=str(root), split=split)


def test_training_on_test_images_is_refused_unless_it_is_asked_for(toy_root):
    with pytest.raises(
        ValueError,
        match=r"6 images are in the training split 'train' \(train_dataloader\) and in the test split 'train'.*allow_test_overlap",
    ):
        check_overlap(overlapping(toy_root))
    check_overlap(overlapping(toy_root, allow_test_overlap=True))


def test_separate_splits_and_missing_lists_pass_the_overlap_check(toy_root):
    config = overlapping(toy_root)
    for split in ('test', 'no_such_split'):
        config.test_dataloader.dataset.split = split
        check_overlap(config)


@pytest.mark.parametrize('name', ['train_dataloader', 'label_dataloader'])
def test_a_test_image_is_refused_wherever_its_labels_are_learnt_and_however_it_is_copied(toy_root, tmp_path, name):
    copied = shutil.copytree(toy_root, tmp_path / 'copy')
    (copied / 'JPEGImages/day').mkdir()
    shutil.move(copied / 'JPEGImages/test_00000.jpg', copied / 'JPEGImages/day/renamed.jpg')
    (copied / 'ImageSets/Main/more.txt').write_text('train_00000\nday/renamed\n')
    loaders = {loader: dict(dataset=dataset(toy_root, 'train')) for loader in ('train_dataloader', 'label_dataloader')}
    config = Config(dict(loaders, test_dataloader=dict(dataset=dataset(toy_root, 'test'))))
    check_overlap(config)
    config[name].dataset = dataset(copied, 'more')
    message = rf"1 image is in the training split 'more' \({name}\) .*renamed.jpg = .*test_00000.jpg"
    with pytest.raises(ValueError, match=message):
        check_overlap(config)


def test_equal_names_in_two_data_sets_are_two_images(toy_root, tmp_path):
    for split, source in (('train', 'train_00000'), ('val', 'test_00000')):
        (tmp_path / split).mkdir()
        shutil.copy(toy_root / f'JPEGImages/{source}.jpg', tmp_path / f'{split}/0001.jpg')
        (tmp_path / 'annotations').mkdir(exist_ok=True)
        content = dict(images=[dict(id=1, file_name='0001.jpg')], annotations=[], categories=[])
        (tmp_path / f'annotations/instances_{split}.json').write_text(json.dumps(content))
    loaders = {f'{name}_dataloader': dict(dataset=dataset(tmp_path, split)) for name, split in (('train', 'train'), ('test', 'val'))}
    check_overlap(Config(loaders))
    shutil.copy(toy_root / 'JPEGImages/train_00000.jpg', tmp_path / 'val/0001.jpg')
    with pytest.raises(ValueError, match='1 image is in the training split'):
        check_overlap(Config(loaders))
