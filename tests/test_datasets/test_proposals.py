import json

import numpy as np
import pytest

from mmlabelpenet.datasets.proposals import ProposalFile, ProposalRecord, canonical_order, proposal_command, write_proposals


def random_boxes(rng, count, size):
    h, w = size
    corners = np.sort(rng.integers(0, [w, h], (count, 2, 2)), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1] + 1], 1).astype(np.float32)


def random_records(seed=0, images=4):
    rng = np.random.default_rng(seed)
    sizes = [(20 + k, 30 + k) for k in range(images)]
    return [
        ProposalRecord(f'image{k}', size, random_boxes(rng, 10 + k, size), rng.random(10 + k).astype(np.float32))
        for k, size in enumerate(sizes)
    ]


def shuffled(records, seed=1):
    rng = np.random.default_rng(seed)
    result = []
    for k in rng.permutation(len(records)):
        order = rng.permutation(len(records[k].scores))
        result.append(ProposalRecord(records[k].image_id, records[k].size, records[k].bboxes[order], records[k].scores[order]))
    return result


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'some/proposals.npz'
    write_proposals(path, random_records(), {'mode': 'fast', 'split': 'train'})
    return path


def test_what_was_written_is_read_back(path):
    proposals = ProposalFile(path)
    assert proposals.settings == {'mode': 'fast', 'split': 'train'}
    assert proposals.image_ids == [f'image{k}' for k in range(4)] and len(proposals) == 4
    for record in random_records():
        bboxes, scores = proposals.get(record.image_id, record.size)
        order = np.argsort(-record.scores)
        assert np.array_equal(bboxes, record.bboxes[order]) and bboxes.dtype == np.float32
        assert np.array_equal(scores, record.scores[order]) and scores.dtype == np.float32
        assert proposals.size(record.image_id) == record.size
    proposals.check(['image3', 'image0'], sizes={'image3': (23, 33)})


def test_the_order_of_writing_does_not_change_a_byte(path, tmp_path):
    write_proposals(tmp_path / 'again.npz', shuffled(random_records()), {'split': 'train', 'mode': 'fast'})
    assert (tmp_path / 'again.npz').read_bytes() == path.read_bytes()


def test_boxes_of_equal_score_have_one_order_and_any_first_few_are_spread_over_the_image():
    rng = np.random.default_rng(0)
    bboxes = random_boxes(rng, 400, (100, 100))
    ones = np.ones(400, np.float32)
    first = bboxes[canonical_order(bboxes, ones)]
    mixed = bboxes[rng.permutation(400)]
    assert np.array_equal(mixed[canonical_order(mixed, ones)], first)
    assert abs(first[:100].mean(0) - bboxes.mean(0)).max() < 6


def test_get_returns_fresh_arrays(path):
    proposals = ProposalFile(path)
    proposals.get('image0')[0][:] = -1
    assert (proposals.get('image0')[0] >= 0).all()


def test_images_without_proposals_and_an_empty_file_keep_their_shapes(tmp_path):
    record = ProposalRecord('a', (5, 5), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    for records in ([record], []):
        write_proposals(tmp_path / 'empty.npz', records, {})
        assert len(ProposalFile(tmp_path / 'empty.npz')) == len(records)
    write_proposals(tmp_path / 'empty.npz', [record], {})
    bboxes, scores = ProposalFile(tmp_path / 'empty.npz').get('a')
    assert bboxes.shape == (0, 4) and scores.shape == (0,)


def test_nothing_in_the_file_is_a_pickle(path):
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    path = tmp_path / 'my proposals.npz'
    with pytest.raises(FileNotFoundError) as caught:
        ProposalFile(path, 'data/VOCdevkit/VOC2007', 'trainval')
    command = f"python tools/dataset_converters/selective_search.py data/VOCdevkit/VOC2007 trainval '{path}'"
    assert proposal_command('data/VOCdevkit/VOC2007', 'trainval', path) == command
    assert command in str(caught.value)


def test_proposals_of_another_split_are_refused(path):
    proposals = ProposalFile(path, 'data', 'val')
    with pytest.raises(ValueError, match=r"for 2 of 3 images, the first: x, y; .*4 images of split 'train'.*\n.*data val"):
        proposals.check(['image0', 'x', 'y'])
    with pytest.raises(ValueError, match='Ask Ada'):
        proposals.check(['x'], 'Ask Ada.')
    for read in (proposals.get, proposals.size):
        with pytest.raises(ValueError, match='no proposals for 1 of 1'):
            read('x')


def test_proposals_of_another_image_size_are_refused(path):
    proposals = ProposalFile(path)
    for act in (lambda: proposals.get('image0', (30, 20)), lambda: proposals.check(['image0'], sizes={'image0': (30, 20)})):
        with pytest.raises(ValueError, match='image of 20 x 30 .*it is 30 x 20 now'):
            act()


def test_a_changed_box_breaks_the_checksum(path):
    with np.load(path) as file:
        arrays = dict(file)
    arrays['bboxes'][3, 2] += 1
    np.savez_compressed(path, **arrays)
    with pytest.raises(ValueError, match='checksum'):
        ProposalFile(path)


@pytest.mark.parametrize('content', ['truncated', 'flipped', 'text', 'other arrays', 'empty', 'array', 'pickle'])
def test_a_damaged_or_foreign_file_is_refused_with_the_command(path, content):
    whole = path.read_bytes()
    if content == 'truncated':
        path.write_bytes(whole[: len(whole) // 2])
    elif content == 'flipped':
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 8]) + whole[middle + 8 :])
    elif content == 'text':
        path.write_text('image,tags\n')
    elif content == 'empty':
        path.write_bytes(b'')
    elif content == 'other arrays':
        np.savez(path, boxes=np.zeros(4))
    elif content == 'array':
        with path.open('wb') as file:
            np.save(file, np.zeros(4))
    else:
        with path.open('wb') as file:
            np.savez(file, image_ids=np.array([{}], object))
    with pytest.raises(ValueError, match='selective_search.py'):
        ProposalFile(path)


def changed(**changes):
    record = random_records(images=1)[0]
    return ProposalRecord(**{**record.__dict__, **changes})


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        (changed(size=(5, 5)), r"'image0' must lie within its 5 x 5"),
        (changed(bboxes=np.full((10, 4), np.nan, np.float32)), 'finite'),
        (changed(bboxes=np.zeros((10, 4), np.float32)), 'not be empty'),
        (changed(bboxes=np.zeros((10, 5), np.float32)), r'\(R, 4\)'),
        (changed(scores=np.zeros(3, np.float32)), r'\(R,\)'),
    ],
)
def test_bad_records_are_refused_and_leave_no_file(tmp_path, record, message):
    with pytest.raises(ValueError, match=message):
        write_proposals(tmp_path / 'p.npz', [record], {})
    assert list(tmp_path.iterdir()) == []


def test_an_image_twice_or_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'image0' has proposals twice"):
        write_proposals(tmp_path / 'p.npz', random_records() + random_records(images=1), {})
    with pytest.raises(ValueError, match=r"'\.npz'"):
        write_proposals(tmp_path / 'p.pkl', random_records(), {})


def test_settings_are_readable_text(path):
    with np.load(path, allow_pickle=False) as file:
        assert json.loads(str(file['settings']))['mode'] == 'fast'
