import json
import pickle
import tracemalloc
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from mmlabelpenet.datasets.proposals import _INDEX, ProposalFile, ProposalRecord, arrays_checksum, proposal_command, proposals_digest
from mmlabelpenet.files import file_hash
from mmlabelpenet.formats.mapped_arrays import ArrayFile
from mmlabelpenet.ops.selective_search import canonical_order
from mmlabelpenet.workbench.proposal_writer import write_proposals

DATA = Path(__file__).parents[1] / 'data'


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
        bboxes, scores = proposals.get(record.image_id)
        order = np.argsort(-record.scores)
        assert np.array_equal(bboxes, record.bboxes[order]) and bboxes.dtype == np.float32
        assert np.array_equal(scores, record.scores[order]) and scores.dtype == np.float32
        assert proposals.size(record.image_id) == record.size
    proposals.check(['image3', 'image0'])


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
    for act in (proposals.get, proposals.size, proposals.digest, proposals.image_hash):
        with pytest.raises(ValueError, match='has no proposals for 1 of 1 image, the first: x'):
            act('x')
    for read in (proposals.get, proposals.size):
        with pytest.raises(ValueError, match='no proposals for 1 of 1'):
            read('x')


def changed_arrays(path, **changes):
    """Write the arrays of a file again, some of them changed; a checksum of the index that fits is added."""
    with np.load(path) as file:
        arrays = dict(file)
    for name, change in changes.items():
        arrays[name] = change(arrays[name])
    arrays['checksum'] = np.array(arrays_checksum(arrays, _INDEX))
    np.savez(path, **arrays)


@pytest.mark.parametrize('name', ['bboxes', 'scores'])
def test_a_changed_number_of_an_image_is_noticed_when_the_image_is_read(path, name):
    def change(values):
        values[3] *= 0.5
        return values

    changed_arrays(path, **{name: change})
    proposals = ProposalFile(path)
    proposals.get('image1')
    with pytest.raises(ValueError, match=r"Proposals of 'image0' in .* are damaged: their checksum does not match.*\n.*selective_search"):
        proposals.get('image0')


@pytest.mark.parametrize('name', ['image_ids', 'sizes', 'offsets', 'digests', 'settings'])
def test_a_changed_index_breaks_its_checksum(path, name):
    with np.load(path) as file:
        arrays = dict(file)
    arrays[name] = np.array('{}') if name == 'settings' else np.roll(arrays[name], 1)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match='checksum'):
        ProposalFile(path)


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        (dict(offsets=lambda values: values + 1), 'offsets or sizes'),
        (dict(offsets=lambda values: values[[0, 2, 1, 3, 4]]), 'offsets or sizes'),
        (dict(offsets=lambda values: values * 10**9), 'offsets or sizes'),
        (dict(sizes=lambda values: -values), 'offsets or sizes'),
        (dict(sizes=lambda values: values.astype(np.float32)), 'sizes has the shape'),
        (dict(bboxes=lambda values: values[:, :3]), r'bboxes has the shape \(46, 3\)'),
        (dict(bboxes=lambda values: np.asfortranarray(values)), 'in Fortran order'),
        (dict(scores=lambda values: values[1:]), 'scores has the shape'),
        (dict(settings=lambda values: np.array('[1]')), 'settings are malformed'),
        (dict(settings=lambda values: np.array('[' * 10_000)), 'settings are malformed'),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(path, changes, problem):
    changed_arrays(path, **changes)
    with pytest.raises(ValueError, match=f'is not a proposal file or is damaged .*{problem}'):
        ProposalFile(path)


@pytest.mark.parametrize('value', [np.nan, -1, 1e9])
def test_boxes_outside_of_their_image_are_refused_though_their_checksum_fits(path, value):
    with np.load(path) as file:
        arrays = dict(file)
    arrays['bboxes'][0, 0] = value
    arrays['digests'][0] = proposals_digest(arrays['bboxes'][:10], arrays['scores'][:10])
    np.savez(path, **arrays | dict(checksum=np.array(arrays_checksum(arrays, _INDEX))))
    with pytest.raises(ValueError, match="malformed. Proposals of 'image0' .*(finite|lie within)"):
        ProposalFile(path).get('image0')


def test_an_array_that_claims_more_than_the_file_holds_takes_no_memory(path):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name in ('bboxes', 'sizes'):
        with zipfile.ZipFile(path, 'w') as archive:
            for member, content in members.items():
                pattern, large = (
                    (b"'shape': (46, 4)", b"'shape': (%d, 4)") if name == 'bboxes' else (b"'shape': (4, 2)", b"'shape': (%d, 2)")
                )
                archive.writestr(member, content.replace(pattern, large % 10**12) if member == f'{name}.npy' else content)
        with pytest.raises(ValueError, match=f'{name} has the declared shape'):
            ProposalFile(path)


def test_a_file_of_the_first_format_that_unpacks_to_more_than_a_hundred_times_its_size_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / 'p.npz', image_ids=np.zeros(10**7, np.uint8))
    with pytest.raises(ValueError, match='it claims 10000128 bytes in a file of'):
        ProposalFile(tmp_path / 'p.npz')
    size = (DATA / 'proposals_format1.npz').stat().st_size
    for claimed, refused in ((100 * size, False), (100 * size + 1, True)):
        monkeypatch.setattr(ArrayFile, 'claimed', lambda self, claimed=claimed: claimed)
        with pytest.raises(ValueError, match='it claims') if refused else nullcontext():
            ProposalFile(DATA / 'proposals_format1.npz')


@pytest.mark.parametrize('number', [1, 2])
def test_stored_files_of_each_format_are_read(number):
    proposals = ProposalFile(DATA / f'proposals_format{number}.npz')
    assert proposals.image_ids == ['day/0001', 'äöü b'] and proposals.settings == dict(mode='fast', split='train')
    assert proposals.size('day/0001') == (20, 30)
    bboxes, scores = proposals.get('day/0001')
    assert bboxes.tolist() == [[0, 0, 30, 20], [1, 2, 9.5, 12]] and scores.tolist() == [1, 0.25]
    assert proposals.get('äöü b')[0].shape == (0, 4)


def test_the_stored_file_is_what_is_written_today(tmp_path):
    proposals = ProposalFile(DATA / 'proposals_format1.npz')
    records = [ProposalRecord(name, proposals.size(name), *proposals.get(name)) for name in proposals.image_ids]
    write_proposals(tmp_path / 'p.npz', records, proposals.settings)
    written, stored = (ZipFile(path) for path in (tmp_path / 'p.npz', DATA / 'proposals_format2.npz'))
    assert written.namelist() == stored.namelist()  # headers differ between versions of Python
    assert all(written.read(name) == stored.read(name) for name in stored.namelist())
    first, second = (ProposalFile(DATA / f'proposals_format{number}.npz') for number in (1, 2))
    assert [*map(first.digest, first.image_ids)] == [*map(second.digest, first.image_ids)]


def test_an_image_may_have_one_pixel(tmp_path):
    record = ProposalRecord('a', (1, 1), np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32))
    write_proposals(tmp_path / 'p.npz', [record], {})
    assert ProposalFile(tmp_path / 'p.npz').size('a') == (1, 1)


def test_scores_of_one_are_not_stored_and_read_as_one(tmp_path):
    records = [ProposalRecord(r.image_id, r.size, r.bboxes, np.ones(len(r.scores), np.float32)) for r in random_records()]
    write_proposals(tmp_path / 'p.npz', records, {})
    with np.load(tmp_path / 'p.npz') as file:
        assert 'scores' not in file
    assert all((ProposalFile(tmp_path / 'p.npz').get(r.image_id)[1] == 1).all() for r in records)


def test_another_process_opens_the_file_by_itself(path):
    content = pickle.dumps(ProposalFile(path))
    assert len(content) < 1000 and np.array_equal(pickle.loads(content).get('image1')[0], ProposalFile(path).get('image1')[0])


def test_only_what_is_read_enters_memory(tmp_path):
    """4,000 proposals of each of 2,000 images take 128 MB."""
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (4000, 1)) + np.arange(4000, dtype=np.float32)[:, None] / 4000

    def records():
        for k in range(2000):
            yield ProposalRecord(f'{k:06d}', (20, 20), boxes, np.ones(4000, np.float32))

    tracemalloc.start()
    write_proposals(tmp_path / 'p.npz', records(), {})
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    file = ProposalFile(tmp_path / 'p.npz')
    file.get('001000')
    read = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / 'p.npz').stat().st_size > 128e6 and written < 10e6 and read < 10e6


def test_a_message_does_not_repeat_the_content_of_a_damaged_file(path):
    content = bytearray(path.read_bytes())
    place = content.index(b'sizes.npy') - 4  # the length of the name in the member's own header
    content[place : place + 2] = (1500).to_bytes(2, 'little')
    path.write_bytes(content)
    with pytest.raises(ValueError, match='is not a proposal file or is damaged .*differ|[.]{3}') as raised:
        ProposalFile(path)
    assert len(str(raised.value)) < 700 + len(str(path)) * 2


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
        for name in ProposalFile(path).image_ids:
            ProposalFile(path).get(name)


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


def test_an_image_that_was_replaced_by_another_of_its_size_is_refused(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'one')
    record = random_records(images=1)[0]
    for sha256 in (file_hash(tmp_path / 'a.jpg'), ''):
        write_proposals(tmp_path / 'p.npz', [replace(record, sha256=sha256)], {})
        proposals = ProposalFile(tmp_path / 'p.npz')
        proposals.check_image('image0', tmp_path / 'a.jpg')
        assert proposals.image_hash('image0') == sha256[:16] and proposals.knows_images == bool(sha256)
    proposals.check_image('image0', tmp_path / 'nowhere.jpg')  # nothing to compare with: the file is not read
    settings = dict(method='selective search', mode='fast', max_side=500)
    write_proposals(tmp_path / 'p.npz', [replace(record, sha256=file_hash(tmp_path / 'a.jpg')), *random_records()[1:]], settings)
    (tmp_path / 'a.jpg').write_bytes(b'two')
    proposals = ProposalFile(tmp_path / 'p.npz', 'data', 'train')
    with pytest.raises(
        ValueError,
        match=r'a.jpg has changed since its proposals in .* were computed.*\n.*selective_search.* --mode fast --max-side 500 --overwrite$',
    ):
        proposals.check_image('image0', tmp_path / 'a.jpg')
    proposals.check_image('image1', tmp_path / 'a.jpg')


def test_a_changed_hash_of_an_image_breaks_the_checksum(tmp_path):
    write_proposals(tmp_path / 'p.npz', [replace(record, sha256='0123456789abcdef') for record in random_records()], {})
    with np.load(tmp_path / 'p.npz') as file:
        arrays = dict(file)
    np.savez(tmp_path / 'p.npz', **arrays | dict(images=arrays['images'] + np.uint64(1)))
    with pytest.raises(ValueError, match='checksum'):
        ProposalFile(tmp_path / 'p.npz')
