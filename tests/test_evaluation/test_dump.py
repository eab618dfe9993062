import json

import numpy as np
import pytest
from random_images import SIZE
from test_metrics import run, samples_of
from tiny_devkit import CLASSES, STAGES, devkit_images, write_devkit

from mmlabelpenet.evaluation.coco_results import ResultsFile
from mmlabelpenet.evaluation.devkit import ResultNames
from mmlabelpenet.evaluation.dump import Dump, dump_path
from mmlabelpenet.evaluation.metrics import read_prediction, read_truth
from mmlabelpenet.evaluation.scoring import Prediction, Settings, score_image, summarise
from mmlabelpenet.evaluation.table import make_row


def prediction(rng, count, masks=True):
    starts = rng.random((count, 2), dtype=np.float32) * 5
    fields = {
        'bboxes': np.concatenate([starts, starts + rng.random((count, 2), dtype=np.float32) * 6], axis=1),
        'scores': rng.random(count, dtype=np.float32),
        'labels': rng.integers(0, len(CLASSES), count),
    }
    return read_prediction({**fields, 'masks': rng.random((count, *SIZE)) < 0.4} if masks else fields)


def names_of(image_ids):
    return ResultNames({image_id: image_id for image_id in image_ids}, {name: k for k, name in enumerate(CLASSES, 1)})


NAMES = names_of([*'abc', *(f'image{k}' for k in range(20))])


def read(path, image_ids):
    return ResultsFile(path, names_of(image_ids), lambda image_id: SIZE)


def same(first: Prediction, second: Prediction):
    for name in ('bboxes', 'scores', 'labels'):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert first.masks == second.masks


@pytest.mark.parametrize('masks', [True, False])
def test_what_is_read_back_equals_what_was_predicted_bit_for_bit(tmp_path, masks):
    rng = np.random.default_rng(0)
    wanted = {f'image{k}': prediction(rng, k % 4, masks) for k in range(20)}
    dump = Dump(tmp_path / 'out' / 'results.json', ['detection'])
    for image_id, one in wanted.items():
        dump.add('detection', image_id, one, NAMES)
    (path,) = dump.finish(wanted)
    assert path == tmp_path / 'out' / 'results.json'
    results = read(path, wanted)
    assert results.num_entries == sum(len(one.labels) for one in wanted.values())
    for image_id, one in wanted.items():
        if len(one.labels):
            same(results.prediction(image_id), one)


def test_ranks_are_joined_in_the_order_of_the_split_and_an_image_of_two_ranks_stands_once(tmp_path):
    rng = np.random.default_rng(1)
    image_ids = ['c', 'a', 'b']
    wanted = {image_id: prediction(rng, 2) for image_id in image_ids}
    dumps = [Dump(tmp_path / 'results.json', STAGES, rank) for rank in range(2)]
    for rank, image_id in ((1, 'b'), (0, 'a'), (1, 'c'), (0, 'b')):
        dumps[rank].add('segmentation', image_id, wanted[image_id], NAMES)
    assert not (tmp_path / 'results.segmentation.json').exists()
    (path,) = dumps[0].finish(image_ids, num_ranks=2)
    assert path == dump_path(tmp_path / 'results.json', 'segmentation', STAGES)
    assert [entry['image_id'] for entry in json.loads(path.read_text())] == ['c', 'c', 'a', 'a', 'b', 'b']
    del dumps
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_a_test_that_fails_are_gone(tmp_path):
    dump = Dump(tmp_path / 'results.json', ['detection'])
    dump.add('detection', 'a', prediction(np.random.default_rng(2), 1), NAMES)
    assert len(list(tmp_path.iterdir())) == 1
    del dump
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_test_left_does_not_come_in(tmp_path):
    (tmp_path / '.results.json.rank0').write_text('a\t{"image_id": "a"}\n')
    dump = Dump(tmp_path / 'results.json', ['detection'])
    dump.add('detection', 'b', prediction(np.random.default_rng(2), 1), NAMES)
    (path,) = dump.finish('ab')
    assert [entry['image_id'] for entry in json.loads(path.read_text())] == ['b']


def test_no_prediction_at_all_is_an_empty_list(tmp_path):
    dump = Dump(tmp_path / 'results.json', ['detection'])
    for image_id in 'ab':
        dump.add('detection', image_id, prediction(np.random.default_rng(3), 0), NAMES)
    (path,) = dump.finish('ab')
    assert json.loads(path.read_text()) == []


def test_a_box_that_is_not_finite_is_refused(tmp_path):
    broken = Prediction(np.array([[0, 0, np.inf, 1]]), np.array([0.5]), np.array([0]))
    with pytest.raises(ValueError, match='JSON'):
        Dump(tmp_path / 'results.json', ['detection']).add('detection', 'a', broken, NAMES)


@pytest.mark.parametrize('seed', range(3))
def test_the_metrics_dump_scores_exactly_as_the_metric(tmp_path, seed):
    images = devkit_images(seed)
    root = write_devkit(tmp_path / 'devkit', images)
    metric, _ = run(root, samples_of(images), dump=str(tmp_path / 'results.json'))
    assert metric.meta['dump'] == [str(tmp_path / f'results.{stage}.json') for stage in STAGES]
    settings = Settings(len(CLASSES), groups=('bbox', 'segm', 'abo', 'miou'))
    for stage, path in zip(STAGES, metric.meta['dump'], strict=True):
        results = read(path, images)
        records = [score_image(results.prediction(i), read_truth(metric._open(), i, settings), settings) for i in images]
        assert make_row(summarise(records, settings), CLASSES) == metric.table[stage]
