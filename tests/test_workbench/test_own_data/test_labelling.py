from dataclasses import replace

import numpy as np
import pytest

from mmlabelpenet.apis.results import Prediction
from mmlabelpenet.datasets.label_writer import PseudoLabelWriter
from mmlabelpenet.workbench.own_data.labelling import chosen, label_images, refuse_unreadable, store_prediction, stored_prediction

SCORES, LABELS = np.array([0.9, 0.5, 0.2, 0.1, 0.05]), np.array([0, 1, 0, 1, 2])


def prediction(name='a', scores=SCORES, labels=LABELS):
    count = len(scores)
    boxes = np.tile(np.array([[2, 3, 10, 12]], np.float32), (count, 1))
    return Prediction(name, None, (20, 30), 'segmentation', ('x', 'y', 'z'), boxes, scores, labels, np.ones((count, 20, 30), bool))


@pytest.mark.parametrize(('tags', 'expected'), [((), [0, 1]), ((0,), [0]), ((1, 2), [1, 4]), ((0, 1, 2), [0, 1, 4])])
def test_tags_choose_the_classes_and_the_best_of_each_stays(tags, expected):
    assert chosen(prediction(), tags, 0.3).tolist() == expected


def test_a_detection_without_width_is_no_label():
    found = prediction()
    found.bboxes[0, 2] = found.bboxes[0, 0]
    assert chosen(found, (), 0.3).tolist() == [1]
    assert chosen(found, (0, 1, 2), 0.3).tolist() == [1, 2, 4]


def test_scores_become_weights(tmp_path):
    writer = PseudoLabelWriter(tmp_path / 'a.json', dict(stage='segmentation'))
    store_prediction(writer, prediction(), np.array([0, 4]))
    store = writer.finish(['a'], ('x', 'y', 'z'))
    assert [i['weight'] for i in store.instances('a')] == pytest.approx([0.9, 0.05])
    assert [i['bbox_label'] for i in store.instances('a')] == [0, 2]


class Slow:
    """In place of a network: predicts, and breaks off when asked to."""

    stages, classes = ('segmentation',), ('x', 'y', 'z')

    def __init__(self, checkpoint, stop_after=99, settings=()):
        self.checkpoint, self.stop_after, self.settings, self.seen = checkpoint, stop_after, settings, []

    def stream(self, images, pass_over, **options):
        for path in images:
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(path.stem)
            if path.read_bytes() == b'damaged':
                pass_over(path, ValueError(f'{path} is damaged'))
            else:
                yield replace(prediction(path.stem), path=path)


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    (tmp_path / 'w.pth').write_bytes(b'weights')
    images = {name: tmp_path / f'{name}.jpg' for name in 'abcd'}
    for path in images.values():
        path.write_bytes(b'an image')
    tags = {'a': [0], 'c': [1, 2]}
    with pytest.raises(KeyboardInterrupt):
        label_images(Slow(tmp_path / 'w.pth', stop_after=2), images, tmp_path / 'labels.json', tags)
    network = Slow(tmp_path / 'w.pth')
    store, unreadable = label_images(network, images, tmp_path / 'labels.json', tags)
    assert network.seen == ['c', 'd'] and len(store) == 4 and unreadable == {}
    assert [[i['bbox_label'] for i in store.instances(name)] for name in 'abcd'] == [[0], [0, 1], [1, 2], [0, 1]]
    (tmp_path / 'w.pth').write_bytes(b'other weights')
    network = Slow(tmp_path / 'w.pth')
    label_images(network, images, tmp_path / 'labels.json', tags)
    assert network.seen == list('abcd')


def test_an_image_that_changes_during_an_interruption_is_labelled_again(tmp_path):
    (tmp_path / 'w.pth').write_bytes(b'weights')
    images = {name: tmp_path / f'{name}.jpg' for name in 'abcd'}
    for path in images.values():
        path.write_bytes(b'an image')
    with pytest.raises(KeyboardInterrupt):
        label_images(Slow(tmp_path / 'w.pth', stop_after=3), images, tmp_path / 'labels.json')
    images['b'].write_bytes(b'another image')
    images['c'].unlink()
    del images['c']
    network = Slow(tmp_path / 'w.pth')
    store, _ = label_images(network, images, tmp_path / 'labels.json')
    assert network.seen == ['b', 'd'] and store.image_ids == ['a', 'b', 'd']


def test_labels_of_another_config_are_made_again(tmp_path):
    (tmp_path / 'w.pth').write_bytes(b'weights')
    (tmp_path / 'a.jpg').write_bytes(b'an image')
    images, first = dict(a=tmp_path / 'a.jpg'), None
    for settings, seen in (([dict(crf=None)], ['a']), ([dict(crf=None)], []), ([dict(crf='deeplab')], ['a'])):
        network = Slow(tmp_path / 'w.pth', settings=settings)
        first, _ = label_images(network, images, tmp_path / 'labels.json', earlier=first)
        assert network.seen == seen


def test_an_image_that_cannot_be_read_ends_nothing_and_is_labelled_by_the_next_call(tmp_path):
    (tmp_path / 'w.pth').write_bytes(b'weights')
    images = {f'day/{name}': tmp_path / f'{name}.jpg' for name in 'abc'}
    for path in images.values():
        path.write_bytes(path.name.encode())
    images['day/b'].write_bytes(b'damaged')
    first, unreadable = label_images(Slow(tmp_path / 'w.pth'), images, tmp_path / 'one.json')
    assert list(unreadable) == ['day/b'] and first.image_ids == ['day/a', 'day/c']
    with pytest.raises(ValueError, match='1 image cannot be read; 2 other images are labelled.*b.jpg is damaged'):
        refuse_unreadable(unreadable, len(first))
    images['day/b'].write_bytes(b'mended')
    images['day/c'].write_bytes(b'another image')
    network = Slow(tmp_path / 'w.pth')
    second, unreadable = label_images(network, images, tmp_path / 'two.json', earlier=first)
    assert network.seen == ['b', 'c'] and second.image_ids == list(images) and unreadable == {}
    assert second.instances('day/a') == first.instances('day/a')
    network = Slow(tmp_path / 'w.pth')
    label_images(network, images, tmp_path / 'three.json', min_score=0.6, earlier=second)
    assert network.seen == list('abc')


def test_stored_detections_are_those_of_the_network(tmp_path):
    writer = PseudoLabelWriter(tmp_path / 'a.json', dict(stage='segmentation'))
    store_prediction(writer, prediction(), np.arange(5))
    found = stored_prediction(writer.finish(['a'], ('x', 'y', 'z')), 'a', None)
    for name in ('bboxes', 'labels', 'masks', 'size', 'stage', 'classes'):
        assert np.array_equal(getattr(found, name), getattr(prediction(), name))
    assert found.scores == pytest.approx(SCORES)
