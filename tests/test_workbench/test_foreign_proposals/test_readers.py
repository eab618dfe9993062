"""Files of other programs."""

import json

import numpy as np
import pytest
from scipy.io import savemat

from mmlabelpenet.workbench.foreign_proposals.layouts import COCO, MATLAB, MATLAB_XYWH, ORDERS, PLAIN, BoxLayout
from mmlabelpenet.workbench.foreign_proposals.readers import read_foreign

IDS = ['000005', 'photo_b', '2007_000027']


def foreign_boxes(boxes, layout):
    """Half-open boxes from 0, number by number as another program would write them."""
    rows = []
    for x1, y1, x2, y2 in boxes.tolist():
        last_x, last_y = (x2 - 1, y2 - 1) if layout.last_inside else (x2, y2)
        first = layout.first_pixel
        rows.append(
            {
                'xyxy': [x1 + first, y1 + first, last_x + first, last_y + first],
                'yxyx': [y1 + first, x1 + first, last_y + first, last_x + first],
                'xywh': [x1 + first, y1 + first, x2 - x1, y2 - y1],
            }[layout.order]
        )
    return np.array(rows, np.float64).reshape(-1, 4)


def random_boxes(count=6, seed=0):
    corners = np.sort(np.random.default_rng(seed).integers(0, 30, (count, 2, 2)), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1] + 1], 1).astype(np.float64)


BOXES = {image_id: random_boxes(count, seed) for seed, (image_id, count) in enumerate(zip(IDS, (6, 1, 3)))}


def cells(arrays):
    found = np.empty(len(arrays), object)
    for k, array in enumerate(arrays):
        found[k] = array
    return found


def read_back(foreign, layout=None):
    return {image_id: (layout or foreign.layout).xyxy(values) for image_id, values in foreign.boxes.items()}


def assert_boxes(found, expected=BOXES):
    assert set(expected) <= set(found)
    for image_id, boxes in expected.items():
        assert np.array_equal(found[image_id], boxes), image_id


@pytest.mark.parametrize('order', ORDERS)
@pytest.mark.parametrize('first', [0, 1])
@pytest.mark.parametrize('inside', [True, False])
def test_every_layout_is_undone(order, first, inside):
    layout, boxes = BoxLayout(order, first, inside), random_boxes(20)
    assert np.array_equal(layout.xyxy(foreign_boxes(boxes, layout)), boxes)
    assert np.array_equal(layout.xyxy(foreign_boxes(boxes, layout).astype(np.uint16)), boxes)


def test_layouts_that_nobody_writes_are_refused():
    for arguments in (('yxxy', 0), ('xyxy', 2)):
        with pytest.raises(ValueError, match='Boxes must be yxyx, xyxy, xywh with first pixel 0 or 1'):
            BoxLayout(*arguments)


@pytest.mark.parametrize('shape', [(1, 3), (3, 1)])
def test_selective_search_names_its_images_in_any_order(tmp_path, shape):
    order = [2, 0, 1]
    boxes = cells([foreign_boxes(BOXES[IDS[k]], MATLAB).astype(np.uint16) for k in order]).reshape(shape)
    names = cells([np.array([IDS[k]]) for k in order]).reshape(shape)
    savemat(tmp_path / 'ss.mat', dict(boxes=boxes, images=names))
    foreign = read_foreign(tmp_path / 'ss.mat', IDS)
    assert foreign.named and foreign.layout == MATLAB and not foreign.scores
    assert_boxes(read_back(foreign))


def test_edge_boxes_have_scores_beside_the_boxes_or_in_the_fifth_column(tmp_path):
    scores = [np.linspace(1, 0.1, len(boxes)) for boxes in BOXES.values()]
    beside = dict(boxes=cells([foreign_boxes(b, MATLAB) for b in BOXES.values()]), boxScores=cells(scores), images=cells(IDS))
    fifth = [np.concatenate([foreign_boxes(b, MATLAB_XYWH), s[:, None]], 1) for b, s in zip(BOXES.values(), scores)]
    savemat(tmp_path / 'beside.mat', beside)
    savemat(tmp_path / 'fifth.mat', dict(bbs=cells(fifth)))
    for name, layout in dict(beside=MATLAB, fifth=MATLAB_XYWH).items():
        foreign = read_foreign(tmp_path / f'{name}.mat', IDS)
        assert foreign.layout == layout and foreign.named == (name == 'beside')
        assert_boxes(read_back(foreign))
        for image_id, values in zip(IDS, scores):
            assert np.allclose(foreign.scores[image_id], values)


def test_a_folder_has_a_file_for_each_image_with_structs_or_variables(tmp_path):
    values = {image_id: foreign_boxes(boxes, MATLAB) for image_id, boxes in BOXES.items()}
    savemat(tmp_path / f'{IDS[0]}.mat', dict(bboxes=values[IDS[0]], scores=np.ones((6, 1))))
    savemat(tmp_path / f'{IDS[1]}.mat', dict(candidates=dict(bboxes=values[IDS[1]], bboxes_scores=np.ones((1, 1)))))
    savemat(tmp_path / f'{IDS[2]}.mat', dict(boxes=values[IDS[2]], other=5))
    foreign = read_foreign(tmp_path, IDS)
    assert foreign.layout == MATLAB and set(foreign.scores) == set(IDS[:2])
    assert_boxes(read_back(foreign))
    with pytest.raises(FileNotFoundError, match='has no x.mat or x.npz'):
        read_foreign(tmp_path, [*IDS, 'x'])


def test_names_of_variables_can_be_said(tmp_path):
    savemat(
        tmp_path / 'a.mat', dict(mine=cells([foreign_boxes(b, MATLAB) for b in BOXES.values()]), who=cells([f'x/{i}.jpg' for i in IDS]))
    )
    assert_boxes(read_back(read_foreign(tmp_path / 'a.mat', IDS, boxes='mine', images='who')))
    with pytest.raises(ValueError, match='has none of boxes, bboxes, .*, but mine, who. Specify the variable of the boxes'):
        read_foreign(tmp_path / 'a.mat', IDS)
    with pytest.raises(ValueError, match="has no 'minne', only mine, who"):
        read_foreign(tmp_path / 'a.mat', IDS, boxes='minne')


def test_arrays_and_json_have_half_open_boxes_from_zero(tmp_path):
    np.savez(tmp_path / 'a.npz', **BOXES)
    scored = {image_id: np.concatenate([boxes, np.ones((len(boxes), 1))], 1) for image_id, boxes in BOXES.items()}
    np.savez(tmp_path / 'b.npz', **scored)
    (tmp_path / 'a.json').write_text(json.dumps({f'{image_id}.jpg': boxes.tolist() for image_id, boxes in BOXES.items()}))
    nested = {i: dict(boxes=boxes.tolist(), scores=[0.5] * len(boxes)) for i, boxes in BOXES.items()}
    (tmp_path / 'b.json').write_text(json.dumps(nested))
    for name in ('a.npz', 'b.npz', 'a.json', 'b.json'):
        foreign = read_foreign(tmp_path / name, IDS)
        assert foreign.layout == PLAIN and bool(foreign.scores) == name.startswith('b')
        assert_boxes(read_back(foreign))


def test_coco_results_may_name_images_by_number_or_name(tmp_path):
    results = []
    for image_id, boxes in BOXES.items():
        key = 5 if image_id == '000005' else image_id
        results += [dict(image_id=key, bbox=box, score=0.25) for box in foreign_boxes(boxes, COCO).tolist()]
    (tmp_path / 'a.json').write_text(json.dumps(results))
    foreign = read_foreign(tmp_path / 'a.json', IDS)
    assert foreign.layout == COCO and foreign.scores['photo_b'].tolist() == [0.25]
    assert_boxes(read_back(foreign))


def test_images_without_a_box_keep_their_place(tmp_path):
    boxes = [foreign_boxes(BOXES[IDS[0]], MATLAB), np.zeros((0, 0)), foreign_boxes(BOXES[IDS[2]], MATLAB)]
    savemat(tmp_path / 'a.mat', dict(boxes=cells(boxes), images=cells(IDS)))
    assert read_foreign(tmp_path / 'a.mat', IDS).boxes[IDS[1]].shape == (0, 4)


def test_files_for_another_list_are_refused(tmp_path):
    savemat(tmp_path / 'named.mat', dict(boxes=cells([np.ones((1, 4))] * 3), images=cells(IDS)))
    with pytest.raises(
        ValueError,
        match=r"no proposals for 1 of 4 images, the first: 'new'; it has 3 images, the first: '000005'.* belong to another image list",
    ):
        read_foreign(tmp_path / 'named.mat', [*IDS, 'new'])
    savemat(tmp_path / 'unnamed.mat', dict(boxes=cells([np.ones((1, 4))] * 3)))
    with pytest.raises(ValueError, match='has boxes of 3 images, but the image list has 4'):
        read_foreign(tmp_path / 'unnamed.mat', [*IDS, 'new'])
    savemat(tmp_path / 'odd.mat', dict(boxes=cells([np.ones((1, 4))] * 3), images=cells(IDS[:2])))
    with pytest.raises(ValueError, match='has boxes of 3 images, but it names 2'):
        read_foreign(tmp_path / 'odd.mat', IDS)


def test_what_is_no_proposal_file_is_refused_with_what_to_do(tmp_path):
    (tmp_path / 'hdf.mat').write_bytes(b'MATLAB 7.3 MAT-file'.ljust(124) + b'\x00\x02IM' + b'\x89HDF\r\n\x1a\n' * 20)
    (tmp_path / 'text.mat').write_text('boxes' * 100)
    savemat(tmp_path / 'one.mat', dict(boxes=np.ones((5, 4))))
    savemat(tmp_path / 'shape.mat', dict(boxes=cells([np.ones((5, 3))])))
    savemat(tmp_path / 'scores.mat', dict(boxes=cells([np.ones((5, 4))]), scores=cells([np.ones(4)])))
    np.savez(tmp_path / 'pickle.npz', boxes=cells([np.ones((5, 4))]))
    np.savez(tmp_path / 'ours.npz', image_ids=['a'], offsets=[0, 1], checksum='x')
    (tmp_path / 'bad.json').write_text('{')
    (tmp_path / 'kind.json').write_text('{"a": 5}')
    (tmp_path / 'keys.json').write_text('[{"image": 5}]')
    (tmp_path / 'a.pkl').write_text('')
    for name, error in {
        'hdf.mat': r"MATLAB v7.3 file, which is HDF5. Save it again in Octave or MATLAB: .*save\('-v7', 'hdf_v7.mat'\)",
        'text.mat': 'cannot be read as a MATLAB file',
        'one.mat': r'one array \(5, 4\), expected one cell per image. For files of single images, pass their folder',
        'shape.mat': r'numbers \(R, 4\), or \(R, 5\) with the score last, got float64 \(5, 3\)',
        'scores.mat': '4 scores for 5 boxes',
        'pickle.npz': 'without pickle .* Save one array per image',
        'ours.npz': 'is already a proposal file of this package',
        'bad.json': 'Input data was truncated',
        'kind.json': r'is neither {image: .* got `int`',
        'keys.json': 'is neither',
        'a.pkl': 'Proposals are read from .mat, .npz, .json files and folders',
    }.items():
        with pytest.raises(ValueError, match=error):
            read_foreign(tmp_path / name, ['a'])
    with pytest.raises(FileNotFoundError, match='nothing is there'):
        read_foreign(tmp_path / 'none.mat', ['a'])


def test_images_of_one_name_in_two_folders_keep_their_own_proposals(tmp_path):
    content = {'C:\\data\\day\\1.jpg': [[0, 0, 5, 5]], '/data/night/1.jpg': [[0, 0, 7, 7]], 'night/1.png': [[0, 0, 9, 9]]}
    (tmp_path / 'a.json').write_text(json.dumps(content))
    found = read_foreign(tmp_path / 'a.json', ['day/1', 'night/1.jpg', 'night/1.png'])
    assert {name: boxes[0, 3] for name, boxes in found.boxes.items()} == {'day/1': 5, 'night/1.jpg': 7, 'night/1.png': 9}
    with pytest.raises(ValueError, match="has proposals for '1' twice, as 'C:/data/day/1.jpg' and as '/data/night/1.jpg'"):
        read_foreign(tmp_path / 'a.json', ['1'])


@pytest.mark.parametrize(('field', 'value'), [('flag_bits', 1), ('compress_type', 99)])
def test_archives_that_are_encrypted_or_packed_in_an_unknown_way_are_refused_in_one_line(tmp_path, field, value):
    np.savez(tmp_path / 'a.npz', **{name: np.ones((1, 4)) for name in IDS})
    content = bytearray((tmp_path / 'a.npz').read_bytes())
    for mark, offset in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):  # flags stand here, the way of packing two bytes on
        place = content.find(mark)
        while place >= 0:
            content[place + offset + 2 * (field == 'compress_type')] |= value
            place = content.find(mark, place + 1)
    (tmp_path / 'a.npz').write_bytes(content)
    with pytest.raises(ValueError, match='a.npz. cannot be read as arrays without pickle'):
        read_foreign(tmp_path / 'a.npz', IDS)
