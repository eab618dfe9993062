import numpy as np
import pytest

from mmlabelpenet.apis.results import Prediction
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelWriter
from mmlabelpenet.workbench.own_data.labelling import chosen, label_pictures, store_prediction

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
    store_prediction(writer, prediction(), np.array([0, 4]), 'a.jpg')
    store = writer.finish(['a'], ('x', 'y', 'z'))
    assert [i['weight'] for i in store.instances('a')] == pytest.approx([0.9, 0.05])
    assert [i['bbox_label'] for i in store.instances('a')] == [0, 2]


class Slow:
    """In place of a network: predicts, and breaks off when asked to."""

    stages, classes = ('segmentation',), ('x', 'y', 'z')

    def __init__(self, checkpoint, stop_after=99):
        self.checkpoint, self.stop_after, self.seen = checkpoint, stop_after, []

    def stream(self, pictures, **options):
        for path in pictures:
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(path.stem)
            yield prediction(path.stem)


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    (tmp_path / 'w.pth').write_bytes(b'weights')
    pictures = [tmp_path / f'{name}.jpg' for name in 'abcd']
    tags = {'a': [0], 'c': [1, 2]}
    with pytest.raises(KeyboardInterrupt):
        label_pictures(Slow(tmp_path / 'w.pth', stop_after=2), pictures, tmp_path / 'labels.json', tags)
    network = Slow(tmp_path / 'w.pth')
    store = label_pictures(network, pictures, tmp_path / 'labels.json', tags)
    assert network.seen == ['c', 'd'] and len(store) == 4
    assert [[i['bbox_label'] for i in store.instances(name)] for name in 'abcd'] == [[0], [0, 1], [1, 2], [0, 1]]
    (tmp_path / 'w.pth').write_bytes(b'other weights')
    network = Slow(tmp_path / 'w.pth')
    label_pictures(network, pictures, tmp_path / 'labels.json', tags)
    assert network.seen == list('abcd')
