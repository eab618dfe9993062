"""Label stores: writing, reading, and completion after an interruption."""

import hashlib
import json

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmlabelpenet.datasets import label_writer, pseudo_labels
from mmlabelpenet.datasets.label_writer import PseudoLabelWriter
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.transforms import LoadAnnotations
from mmlabelpenet.structures import pseudo_instances
from mmlabelpenet.workbench.exports.labels import choose_labels

HEADER = dict(stage='detection', weights='abc', split='train')


def pseudo(seed, count=2):
    rng = np.random.default_rng(seed)
    masks = rng.random((count, 20, 30)) < 0.3
    bboxes = torch.as_tensor(rng.uniform(0, 10, (count, 4)).cumsum(1), dtype=torch.float32)
    return pseudo_instances(bboxes, torch.arange(count) % 3, masks, torch.as_tensor(rng.uniform(0.1, 1, count)))


def write(path, names, header=HEADER, rank=0, finish=True):
    writer = PseudoLabelWriter(path, header, rank)
    for name in names:
        if name not in writer.done:
            writer.add(name, f'{name}.jpg', (20, 30), pseudo(ord(name)))
    return writer.finish(names, ('x', 'y', 'z')) if finish else writer


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / 'folder/detection.json'
    write(path, 'ab')
    store = PseudoLabelStore.load(path)
    assert len(store) == 2 and store.header == HEADER | dict(version=2)
    for name in 'ab':
        expected = pseudo(ord(name))
        for k, instance in enumerate(store.instances(name)):
            assert instance['bbox'] == pytest.approx(expected.bboxes[k].tolist(), abs=1e-5)
            assert instance['bbox_label'] == expected.labels[k] and instance['weight'] == pytest.approx(expected.weights[k].item())
            np.testing.assert_array_equal(coco_mask.decode(instance['mask']), expected.masks.masks[k])
            assert instance['ignore_flag'] == 0  # mmdet's steps ask for it


def test_crowds_and_labels_without_an_area_in_their_image_are_left_out_of_a_store_that_holds_some(tmp_path, monkeypatch):
    said, path = [], tmp_path / 'detection.json'
    monkeypatch.setattr(pseudo_labels, 'warn', said.append)
    write(path, 'a')
    assert not said
    content = json.loads(path.read_text())
    (one,) = content['annotations'][:1]
    boxes = ([30, 8.5, 0, 6], [31, 2, 9, 9], [2, -9, 5, 9], [4, 4, 5, 0], [29, 2, 9, 9])
    content['annotations'] = [dict(one, bbox=box, id=k) for k, box in enumerate(boxes, 1)] + [dict(one, id=9, iscrowd=1)]
    path.write_text(json.dumps(content))
    store = PseudoLabelStore.load(path)
    assert said == ['5 of 6 pseudo labels are ignored: crowds, or boxes without area in their image.']
    assert [instance['bbox'] for instance in store.instances('a')] == [[29, 2, 38, 11]]
    assert list(choose_labels(store).annotations.values()) == [store.content['annotations']] and len(store.content['annotations']) == 1


def test_other_programs_read_it_as_coco(tmp_path, capsys):
    write(tmp_path / 'd.json', 'ab')
    coco = COCO(tmp_path / 'd.json')
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == ['x', 'y', 'z']
    assert [i['file_name'] for i in coco.loadImgs(coco.getImgIds())] == ['a.jpg', 'b.jpg']
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == 4 and len({a['id'] for a in annotations}) == 4
    for a in annotations:
        assert coco.annToMask(a).sum() == a['area'] and a['stage'] == 'detection' and 0 < a['weight'] <= 1


def test_the_same_labels_give_the_same_bytes(tmp_path):
    for name in ('one', 'two'):
        write(tmp_path / name / 'd.json', 'abc')
    assert (tmp_path / 'one/d.json').read_bytes() == (tmp_path / 'two/d.json').read_bytes()


def test_an_interrupted_pass_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / 'd.json'
    write(path, 'ab', finish=False)
    part = tmp_path / 'd.part0'
    part.write_text(part.read_text() + '{"img_id": "c", "inst')  # killed in the middle of a line
    writer = PseudoLabelWriter(path, HEADER)
    assert writer.done == {'a', 'b'}
    assert not path.exists()
    write(path, 'abcd')
    write(tmp_path / 'whole/d.json', 'abcd')
    assert path.read_bytes() == (tmp_path / 'whole/d.json').read_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ['d.json']


def test_files_with_similar_names_are_neither_read_nor_deleted(tmp_path):
    others = {f'd.{end}': b'mine' for end in ('partial_notes.csv', 'parts.json', 'part', 'part1.zip', 'part7')}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / 'd.part8').mkdir()
    write(tmp_path / 'd.json', 'a', rank=1, finish=False)
    write(tmp_path / 'd.json', 'ab')
    (tmp_path / 'd.part8').rmdir()
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found.pop('d.json') and found == others
    with pytest.raises(ValueError, match="^Expected a partial label store at '.*d.part7', got another file. Move it, or delete it.$"):
        PseudoLabelWriter(tmp_path / 'd.json', HEADER, rank=7)


def test_of_lines_that_are_there_those_whose_files_are_the_same_are_kept(tmp_path):
    files = {name: tmp_path / f'{name}.jpg' for name in 'abcd'}
    for name in 'abc':
        files[name].write_text(name)
    writer = PseudoLabelWriter(tmp_path / 'd.json', HEADER)
    for name in 'abc':
        writer.add(name, f'{name}.jpg', (20, 30), pseudo(1), files[name])
    writer.add('d', 'd.jpg', (20, 30), pseudo(1))
    files['b'].write_text('another')
    files['c'].unlink()
    assert PseudoLabelWriter(tmp_path / 'd.json', HEADER).done == {*'abcd'}
    assert PseudoLabelWriter(tmp_path / 'd.json', HEADER, files=files).done == {'a'}


def test_lines_of_another_maker_are_thrown_away(tmp_path):
    write(tmp_path / 'd.json', 'ab', finish=False)
    assert PseudoLabelWriter(tmp_path / 'd.json', HEADER | dict(weights='other')).done == set()


def test_lines_that_a_larger_run_of_other_weights_left_do_not_come_in(tmp_path):
    old = PseudoLabelWriter(tmp_path / 'd.json', HEADER | dict(weights='old'), rank=3)
    old.add('a', 'a.jpg', (20, 30), pseudo(999, count=5))
    store = write(tmp_path / 'd.json', 'a')
    assert len(store.instances('a')) == 2


def test_ranks_share_the_work_and_one_merges(tmp_path):
    write(tmp_path / 'd.json', 'ac', rank=0, finish=False)
    write(tmp_path / 'd.json', 'bd', rank=1, finish=False)
    PseudoLabelWriter(tmp_path / 'd.json', HEADER).finish(list('abcd'), ('x', 'y', 'z'))
    write(tmp_path / 'alone/d.json', 'abcd')
    assert (tmp_path / 'd.json').read_bytes() == (tmp_path / 'alone/d.json').read_bytes()


def test_all_ranks_know_what_any_of_them_has_done(tmp_path):
    """After a kill the ranks have come unequally far; what is left must be the same list for all."""
    write(tmp_path / 'd.json', 'ac', rank=0, finish=False)
    write(tmp_path / 'd.json', 'b', rank=1, finish=False)
    writers = [PseudoLabelWriter(tmp_path / 'd.json', HEADER, rank) for rank in (0, 1, 2)]
    assert [writer.labelled() for writer in writers] == [{'a', 'b', 'c'}] * 3


def test_an_image_without_a_line_is_named(tmp_path):
    writer = write(tmp_path / 'd.json', 'a', finish=False)
    with pytest.raises(ValueError, match="2 images have no pseudo labels, the first is 'b'"):
        writer.finish(list('abc'), ('x', 'y', 'z'))


def test_images_without_instances_are_counted_in_the_summary(tmp_path):
    writer = PseudoLabelWriter(tmp_path / 'd.json', HEADER)
    writer.add('a', 'a.jpg', (20, 30), pseudo(0, count=0))
    writer.add('b', 'b.jpg', (20, 30), pseudo(1, count=3))
    store = writer.finish(['a', 'b'], ('x', 'y', 'z'))
    assert store.instances('a') == []
    assert '3 pseudo instances in 2 images (1.50 each, 1 image without)' in store.summary()


def test_an_unknown_image_is_named(tmp_path):
    with pytest.raises(KeyError, match="no image 'zzz'"):
        write(tmp_path / 'd.json', 'a').instances('zzz')


@pytest.mark.parametrize('text', ['', '[1, 2]', '{"images": []}', '{"info": {}, "images": [{}], "annotations": []}', '{"info"'])
def test_a_file_that_is_no_store_is_named(tmp_path, text):
    path = tmp_path / 'd.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='d.json. is not a label store'):
        PseudoLabelStore.load(path)


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.json'):
        PseudoLabelStore.load(tmp_path / 'nothing.json')


def test_weights_and_boxes_survive_json_exactly(tmp_path):
    expected = pseudo(ord('a'))
    store = write(tmp_path / 'd.json', 'a')
    content = json.loads((tmp_path / 'd.json').read_text())
    assert [a['weight'] for a in content['annotations']] == [i['weight'] for i in store.instances('a')]
    assert torch.equal(torch.tensor([i['weight'] for i in store.instances('a')]), expected.weights)


def test_an_image_that_has_changed_since_it_was_labelled_is_refused(tmp_path):
    images = {name: tmp_path / f'{name}.jpg' for name in 'ab'}
    for name, path in images.items():
        path.write_bytes(name.encode())
    writer = PseudoLabelWriter(tmp_path / 'd.json', HEADER)
    writer.add('a', 'a.jpg', (20, 30), pseudo(1), images['a'])
    writer.add('b', 'b.jpg', (20, 30), pseudo(2))  # of a store from elsewhere nothing is known
    writer.finish('ab', ('x', 'y', 'z'))
    store = PseudoLabelStore.load(tmp_path / 'd.json')
    for name, path in images.items():
        store.check_image(name, path)
        path.write_bytes(b'another')
    store.check_image('b', images['b'])
    with pytest.raises(ValueError, match='a.jpg has changed since its pseudo labels were generated'):
        store.check_image('a', images['a'])


def test_the_digest_of_a_store_changes_with_any_label(tmp_path):
    store = write(tmp_path / 'd.json', 'ab')
    assert store.digest() == PseudoLabelStore.load(tmp_path / 'd.json').digest()
    for change in (dict(weight=0.5), dict(category_id=3), dict(bbox=[1, 2, 3, 4])):
        content = json.loads((tmp_path / 'd.json').read_text())
        content['annotations'][2] |= change
        assert PseudoLabelStore(content).digest() != store.digest()
    content = json.loads((tmp_path / 'd.json').read_text())
    content['categories'].reverse()
    assert PseudoLabelStore(content).digest() != store.digest()
    content['categories'].reverse()
    content['info'] = dict(reversed(content['info'].items()))  # an order that says nothing
    assert PseudoLabelStore(content).digest() == store.digest()


def test_names_keep_their_folders(tmp_path):
    writer = PseudoLabelWriter(tmp_path / 'd.json', HEADER)
    for name in ('day/0001', 'night/0001'):
        writer.add(name, '0001.jpg', (20, 30), pseudo(1))
    store = writer.finish(['day/0001', 'night/0001'], ('x', 'y', 'z'))
    assert [(image['img_id'], image['file_name']) for image in PseudoLabelStore.load(tmp_path / 'd.json').content['images']] == [
        ('day/0001', 'day/0001.jpg'),
        ('night/0001', 'night/0001.jpg'),
    ]
    assert store.image_ids == ['day/0001', 'night/0001']


def test_a_line_of_a_half_written_store_begins_with_16_digits_of_its_sha256(tmp_path):
    lines = write(tmp_path / 'd.json', 'ab', finish=False).part.read_bytes().splitlines()
    assert len(lines) == 3 and all(line[:17] == hashlib.sha256(line[17:]).hexdigest()[:16].encode() + b' ' for line in lines)


def test_a_line_in_which_a_digit_changed_is_written_again_with_a_warning(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(label_writer, 'warn', said.append)
    write(tmp_path / 'd.json', 'abc', finish=False)
    part = tmp_path / 'd.part0'
    lines = part.read_bytes().split(b'\n')
    lines[2] = lines[2].replace(b'"weight":0.', b'"weight":0.1', 1)
    part.write_bytes(b'\n'.join(lines))
    assert PseudoLabelWriter(tmp_path / 'd.json', HEADER).done == {'a', 'c'}
    assert said == [f'1 damaged line of {part} is ignored; the affected images are labelled again.']
    write(tmp_path / 'd.json', 'abc')
    assert len(said) == 1
    write(tmp_path / 'whole/d.json', 'abc')
    assert (tmp_path / 'd.json').read_bytes() == (tmp_path / 'whole/d.json').read_bytes()


CODE = dict(size=[20, 30], counts='d`1')  # all of the image


def store_with(**changes):
    """A sound store in which one thing is changed; keys are image__KEY, annotation__KEY, category__KEY or names of lists."""
    content = dict(
        info={},
        images=[dict(id=1, img_id='a', file_name='a.jpg', height=20, width=30)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[1, 2, 3, 4], segmentation=CODE, weight=0.5)],
        categories=[dict(id=1, name='cat')],
    )
    for key, value in changes.items():
        what, _, field = key.partition('__')
        if field:
            content[dict(image='images', annotation='annotations', category='categories')[what]][0][field] = value
        else:
            content[what] = value
    return content


@pytest.mark.parametrize(
    ('changes', 'place'),
    [
        (dict(annotation__bbox=[1, 2, 3]), r'`\$.annotations\[0\].bbox`'),
        (dict(annotation__bbox=['1', 2, 3, 4]), r'bbox\[0\]`'),
        (dict(annotation__category_id=0), r'annotations\[0\] has the unknown category_id 0'),
        (dict(annotation__category_id=99), r'annotations\[0\] has the unknown category_id 99'),
        (dict(categories=[dict(id=1, name='cat'), dict(id=2, name='cat')]), 'categories need different names'),
        (dict(annotation__image_id=7), r'annotations\[0\] has the unknown image_id 7'),
        (dict(annotation__weight=None), r'`\$.annotations\[0\].weight`'),
        (dict(annotation__weight=1.5), 'weight`'),
        (dict(annotation__weight=10**400), 'Number out of range|weight`'),
        (dict(annotation__segmentation='a'), 'segmentation`'),
        (dict(annotation__segmentation=dict(size=[20, 30])), 'counts'),
        (dict(image__height='20'), r'`\$.images\[0\].height`'),
        (dict(image__height=10**9), 'height`'),
        (dict(image__img_id='../a'), r"Img_id of images\[0\]: '../a' is not a valid file name"),
        (dict(image__file_name='/etc/passwd'), r'File_name of images\[0\]: .*absolute'),
        (dict(image__id=None), r'`\$.images\[0\].id`'),
        (dict(images={}), r'`\$.images`'),
        (dict(info=[]), r'`\$.info`'),
        (dict(categories=[dict(id=1, name='cat'), dict(id=1, name='dog')]), 'categories need different ids'),
        (dict(images=[dict(id=k, img_id='a', height=20, width=30) for k in (1, 2)]), r'1 image appears twice in .*, the first: a\.'),
        (dict(category__name=3), r'`\$.categories\[0\].name`'),
    ],
)
def test_a_malformed_store_is_refused_with_its_file_and_the_place_in_it(tmp_path, changes, place):
    (tmp_path / 'd.json').write_text(json.dumps(store_with(**changes)))
    with pytest.raises(ValueError, match=f'd.json. is not a label store .*(?:{place})') as error:
        PseudoLabelStore.load(tmp_path / 'd.json')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('change', ['\ufeff', 'utf-16', '\0', '[' * 100_000, 'NaN'])
def test_a_store_in_another_encoding_or_nested_too_deep_is_refused_but_a_byte_order_mark_is_not(tmp_path, change):
    path, text = tmp_path / 'd.json', json.dumps(store_with())
    if change == '\ufeff':
        path.write_text(change + text)
        assert len(PseudoLabelStore.load(path)) == 1
        return
    path.write_bytes(text.encode('utf-16') if change == 'utf-16' else text.replace('0.5', change).encode())
    with pytest.raises(ValueError, match='d.json. is not a label store'):
        PseudoLabelStore.load(path)


@pytest.mark.parametrize(
    ('segmentation', 'problem'),
    [
        (dict(size=[20, 31], counts='d`1'), r'has the size \[20, 31\], but the image has \[20, 30\]'),
        (dict(size=[20, 30], counts=[599]), 'cover 599 pixels'),
        (dict(size=[20, 30], counts=[10**30]), 'neither a string nor a list of valid run lengths'),
        (dict(size=[20, 30], counts='~~'), 'outside 0..o'),
        ([[0, 0, 5, 5]], 'three or more pairs'),
        ([[0, 0, 1e9, 1e9, 0, 5]], 'corner far outside its image'),
    ],
)
def test_a_segmentation_that_cannot_be_drawn_is_named_when_it_is_read(tmp_path, segmentation, problem):
    store = PseudoLabelStore(store_with(annotation__segmentation=segmentation), tmp_path / 'd.json')
    for read in (lambda: store.instances('a'), lambda: store.content):
        with pytest.raises(ValueError, match=f"Annotation 1 of image 'a' in .*d.json cannot be used: .*{problem}"):
            read()


@pytest.mark.parametrize('segmentation', [None, []])
@pytest.mark.parametrize('size', [(20, 30), (None, None)])
def test_a_label_without_segmentation_has_an_empty_mask(segmentation, size):
    sizes = dict(image__height=size[0], image__width=size[1])
    (instance,) = PseudoLabelStore(store_with(annotation__segmentation=segmentation, **sizes)).instances('a')
    found = LoadAnnotations(with_mask=True).transform(dict(instances=[instance], ori_shape=(20, 30)))
    assert found['gt_masks'].masks.shape == (1, 20, 30) and not found['gt_masks'].masks.any() and not found['gt_ignore_flags'].any()
    assert found['gt_bboxes'].tensor.tolist() == [[1, 2, 4, 6]]


@pytest.mark.parametrize('segmentation', [[[1, 2, 4, 2, 4, 6, 1, 6]], dict(size=[20, 30], counts=[22, 4, 16, 4, 16, 4, 534])])
def test_polygons_and_lists_of_runs_are_the_same_mask_as_compressed_runs(segmentation):
    mask = np.zeros((20, 30), bool)
    mask[2:6, 1:4] = True
    store = PseudoLabelStore(store_with(annotation__segmentation=segmentation))
    for code in (store.instances('a')[0]['mask'], store.content['annotations'][0]['segmentation']):
        assert isinstance(code['counts'], str) and np.array_equal(coco_mask.decode(code), mask)


def test_a_code_of_ten_gigapixels_takes_no_memory():
    images = dict(image__height=None, image__width=None)
    store = PseudoLabelStore(store_with(annotation__segmentation=dict(size=[100_000, 100_000], counts=[0, 10**10]), **images))
    assert store.size('a') == (0, 0)
    with pytest.raises(ValueError, match='exceeds 178 megapixels'):
        store.instances('a')


def test_a_half_written_store_that_was_begun_with_other_inputs_is_begun_again_and_one_line_says_which(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(label_writer, 'warn', said.append)
    write(tmp_path / 'd.json', 'ab', finish=False)
    assert write(tmp_path / 'd.json', '', HEADER | dict(split='val', weights='def'), finish=False).done == set()
    assert len(said) == 1 and said[0].endswith('d.part0 was started with different weights, split and is restarted.')


def test_an_image_without_a_file_name_is_named_by_its_id():
    image = dict(id=1, img_id='day/a', height=4, width=5)
    store = PseudoLabelStore(dict(info={}, images=[image], annotations=[], categories=[]))
    assert store.content['images'][0]['file_name'] == store.line('day/a').file_name == 'day/a'
