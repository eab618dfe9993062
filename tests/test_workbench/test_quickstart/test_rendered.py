import hashlib

import cv2
import numpy as np
import pytest

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.quickstart import rendered
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES, RENDERED_SPLITS, RenderSettings, render_dataset
from mmlabelpenet.workbench.quickstart.scenes import render_scene
from mmlabelpenet.workbench.voc_files import voc_palette

SMALL = RenderSettings(num_train=6, num_test=4, height=120, width=160, min_size=30, max_size=80)


def digest(root):
    return {path.relative_to(root): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(root.rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'toy'
    render_dataset(root, SMALL)
    return root


def test_the_same_settings_give_the_same_bytes(root, tmp_path):
    render_dataset(tmp_path / 'again', SMALL)
    assert digest(tmp_path / 'again') == digest(root)


def test_another_seed_gives_other_images(root, tmp_path):
    render_dataset(tmp_path / 'other', RenderSettings(**{**SMALL.__dict__, 'seed': 1}))
    assert (tmp_path / 'other/JPEGImages/train_00000.jpg').read_bytes() != (root / 'JPEGImages/train_00000.jpg').read_bytes()


def test_an_image_does_not_depend_on_how_many_there_are(root, tmp_path):
    render_dataset(tmp_path / 'more', RenderSettings(**{**SMALL.__dict__, 'num_train': 8}))
    for name in ('train_00005', 'test_00003'):
        assert (tmp_path / f'more/JPEGImages/{name}.jpg').read_bytes() == (root / f'JPEGImages/{name}.jpg').read_bytes()


def test_a_second_call_touches_nothing(root):
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    render_dataset(root, SMALL)
    assert {path: path.stat().st_mtime_ns for path in root.rglob('*')} == times


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_an_interrupted_call_leaves_no_data_set_and_the_next_one_is_complete(root, tmp_path, monkeypatch):
    scenes = iter([render_scene] * 2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(rendered, 'render_scene', lambda *arguments: next(scenes, interrupt)(*arguments))
        render_dataset(tmp_path / 'toy', SMALL)
    assert list(tmp_path.iterdir()) == []
    render_dataset(tmp_path / 'toy', SMALL)
    assert digest(tmp_path / 'toy') == digest(root)


def test_an_empty_folder_is_filled(root, tmp_path):
    render_dataset(tmp_path, SMALL)
    assert digest(tmp_path) == digest(root)


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path):
    (tmp_path / 'thesis.txt').write_text('dear')
    with pytest.raises(ValueError, match='other files'):
        render_dataset(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.txt']


def test_a_data_set_of_other_settings_is_refused_and_kept(root):
    before = digest(root)
    with pytest.raises(ValueError, match='other settings'):
        render_dataset(root, RenderSettings(**{**SMALL.__dict__, 'noise': 3}))
    assert digest(root) == before


def test_a_data_set_that_lost_images_is_refused(tmp_path):
    render_dataset(tmp_path / 'toy', SMALL)
    (tmp_path / 'toy/JPEGImages/train_00001.jpg').unlink()
    with pytest.raises(ValueError, match='should contain 10 images, found 9'):
        render_dataset(tmp_path / 'toy', SMALL)


def test_the_devkit_reader_finds_tags_boxes_and_masks_that_agree(root):
    devkit = VOCDevkit(root, RENDERED_CLASSES)
    for split in RENDERED_SPLITS:
        tags = devkit.tags(split)
        assert tags == devkit.tags(split, 'xml')
        for image_id in devkit.image_ids(split):
            objects, masks, classes = devkit.objects(image_id), devkit.instance_masks(image_id), devkit.class_mask(image_id)
            assert sorted(set(objects.labels.tolist())) == tags[image_id]
            assert masks.labels.tolist() == objects.labels.tolist()
            assert cv2.imread(str(devkit.image_path(image_id))).shape[:2] == devkit.image_size(image_id) == masks.masks.shape[1:]
            for box, mask, label in zip(objects.bboxes, masks.masks, masks.labels):
                ys, xs = np.nonzero(mask)
                assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                assert (classes[mask] == 1 + label).all()
            assert ((classes > 0) == masks.masks.any(0)).all()


def test_no_image_is_in_both_splits(root):
    devkit = VOCDevkit(root, RENDERED_CLASSES)
    contents = [{hashlib.sha256(devkit.image_path(i).read_bytes()).digest() for i in devkit.image_ids(split)} for split in RENDERED_SPLITS]
    assert [len(content) for content in contents] == [6, 4]
    assert not contents[0] & contents[1]


def test_the_palette_is_vocs():
    colours = np.array(voc_palette()).reshape(256, 3)
    assert colours[1 + VOC_CLASSES.index('person')].tolist() == [192, 128, 128]
    assert colours[255].tolist() == [224, 224, 192]


def test_the_tool_renders_what_its_options_say(root, tmp_path, load_tool):
    options = ['--train', '6', '--test', '4', '--height', '120', '--width', '160', '--min-size', '30', '--max-size', '80']
    load_tool('dataset_converters/render_voc.py').main([str(tmp_path / 'toy'), *options])
    assert digest(tmp_path / 'toy') == digest(root)


def test_the_marker_carries_the_version_of_the_drawing(root, monkeypatch):
    monkeypatch.setattr(rendered, '_VERSION', rendered._VERSION + 1)
    with pytest.raises(ValueError, match='other settings'):
        render_dataset(root, SMALL)
