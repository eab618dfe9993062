"""COCO in its published layout: tags for training, boxes and masks for metrics."""

import json

import numpy as np
import pytest
import toy
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmlabelpenet.datasets.coco import read_names
from mmlabelpenet.datasets.proposals import ProposalRecord
from mmlabelpenet.evaluation.coco import COCODevkit
from mmlabelpenet.evaluation.devkit import open_devkit
from mmlabelpenet.evaluation.metrics import StageMetric
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.workbench.proposal_writer import write_proposals
from mmlabelpenet.workbench.supervision.audit import kind_of
from mmlabelpenet.workbench.supervision.opened import files_opened

CLASSES = ('cat', 'dog')
SIZE = (20, 30)


def square(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def crowd_code():
    mask = np.zeros(SIZE, np.uint8)
    mask[:, 20:] = 1
    code = coco_mask.encode(np.asfortranarray(mask))
    return dict(size=list(SIZE), counts=code['counts'].decode())


@pytest.fixture
def root(tmp_path):
    for split, numbers in (('train2017', (7, 9)), ('val2017', (8, 5, 3))):
        (tmp_path / split).mkdir()
        for number in numbers:
            Image.new('RGB', SIZE[::-1]).save(tmp_path / f'{split}/{number:012d}.jpg')
    write(tmp_path, 'train2017', (7, 9), [(7, 17, [1, 2, 5, 6], square(1, 2, 6, 8), 0), (7, 18, [0, 0, 9, 9], crowd_code(), 1)])
    notes = [
        (8, 18, [2, 2, 10, 8], square(2, 2, 12, 10), 0),
        (8, 17, [4, 4, 4, 4], square(4, 4, 8, 8), 0),
        (8, 44, [0, 0, 3, 3], square(0, 0, 3, 3), 0),
        (8, 17, [20, 0, 10, 20], crowd_code(), 1),
        (3, 17, [5, 5, 0, 4], square(5, 5, 5, 9), 0),
    ]
    write(tmp_path, 'val2017', (8, 5, 3), notes)
    return tmp_path


def write(root, split, numbers, notes):
    (root / 'annotations').mkdir(exist_ok=True)
    content = dict(
        images=[dict(id=number, file_name=f'{number:012d}.jpg', height=SIZE[0], width=SIZE[1]) for number in numbers],
        categories=[dict(id=number, name=name) for number, name in ((17, 'cat'), (18, 'dog'), (44, 'bottle'))],
        annotations=[
            dict(id=k, image_id=image, category_id=category, bbox=box, segmentation=where, iscrowd=crowd, area=box[2] * box[3])
            for k, (image, category, box, where, crowd) in enumerate(notes, 1)
        ],
    )
    (root / f'annotations/instances_{split}.json').write_text(json.dumps(content))


def test_a_folder_with_annotations_is_coco_and_any_other_is_voc(root, toy_root):
    assert isinstance(open_devkit(root, CLASSES), COCODevkit)
    assert type(open_devkit(toy_root, CLASSES)) is VOCDevkit


def test_tags_are_the_categories_and_crowds_count_only_where_asked_for(root):
    devkit = COCODevkit(root, CLASSES)
    assert devkit.image_ids('train2017') == ['000000000007', '000000000009']
    assert devkit.tags('train2017') == {'000000000007': [0], '000000000009': []}
    assert devkit.tags('train2017', use_difficult=True)['000000000007'] == [0, 1]
    assert devkit.tags('val2017')['000000000008'] == [0, 1]


def test_tags_may_come_from_a_file_too(root):
    (root / 'tags.csv').write_text('image,tags\n000000000007.jpg,dog\n000000000009.jpg,\n')
    assert COCODevkit(root, CLASSES).tags('train2017', root / 'tags.csv') == {'000000000007': [1], '000000000009': []}


def test_boxes_and_masks_are_thrown_away_on_reading(root):
    read_names.cache_clear()
    path = root / 'annotations/instances_train2017.json'
    text = json.dumps(read_names(path)._asdict(), default=sorted)
    assert 'cat' in text and 'counts' not in text and '20' not in text
    clean = COCODevkit(root, CLASSES).tags('train2017')
    path.write_text(path.read_text().replace('"bbox": [', '"bbox": ["poison", ').replace('"counts"', '"poison"'))
    read_names.cache_clear()
    assert COCODevkit(root, CLASSES).tags('train2017') == clean


def test_the_data_set_of_training_serves_coco_and_opens_no_boxes(root):
    records = [
        ProposalRecord(f'{n:012d}', SIZE, np.array([[1, 2, 9, 8], [0, 0, 30, 20]], np.float32), np.ones(2, np.float32)) for n in (7, 9)
    ]
    write_proposals(root / 'train.npz', records, dict(split='train2017'))
    read_names.cache_clear()
    with files_opened() as opened:
        config = dict(data_root=str(root), split='train2017', metainfo=dict(classes=CLASSES), proposals=str(root / 'train.npz'))
        dataset = DATASETS.build(dict(type='VOCTags', pipeline=toy.pipelines()[1], **config))
        sample = dataset[0]['data_samples']
    assert len(dataset) == 1  # the other image has no tag
    assert sample.img_id == '000000000007' and sample.gt_image_labels.onehot.tolist() == [1, 0] and len(sample.proposals) == 2
    kinds = {kind_of(path, ways, [str(root / 'train.npz')]) for path, ways in opened.items()}
    assert 'names in annotations' in kinds and not kinds & {'boxes', 'masks'}


def test_boxes_that_a_metric_reads_are_told_from_names(root):
    devkit = COCODevkit(root, CLASSES)
    with files_opened() as opened:
        devkit.objects(devkit.image_ids('val2017')[0])
    (path,) = [path for path in opened if path.endswith('.json')]
    assert kind_of(path, opened[path]) == 'boxes'


def test_objects_and_masks_are_those_of_pycocotools(root):
    devkit, reference = COCODevkit(root, CLASSES), COCO(root / 'annotations/instances_val2017.json')
    devkit.image_ids('val2017')
    objects, masks = devkit.objects('000000000008'), devkit.instance_masks('000000000008')
    notes = [note for note in reference.loadAnns(reference.getAnnIds(8)) if note['category_id'] != 44]
    assert objects.bboxes.tolist() == [[x, y, x + w, y + h] for x, y, w, h in (note['bbox'] for note in notes)]
    assert objects.labels.tolist() == [1, 0, 0] and objects.difficult.tolist() == [False, False, True]
    assert masks.labels.tolist() == [1, 0]
    for mask, note in zip(masks.masks, notes, strict=False):
        assert np.array_equal(mask, reference.annToMask(note).astype(bool))


def test_in_the_class_map_the_smaller_object_is_seen_and_crowds_are_void(root):
    devkit = COCODevkit(root, CLASSES)
    devkit.image_ids('val2017')
    painted = devkit.class_mask('000000000008')
    assert painted[5, 5] == 1 and painted[3, 3] == 2 and painted[0, 0] == 0 and painted[0, 25] == 255


def test_an_object_in_front_of_a_crowd_is_seen(root):
    write(root, 'val2017', (8,), [(8, 17, [18, 2, 10, 8], square(18, 2, 28, 10), 0), (8, 18, [20, 0, 10, 20], crowd_code(), 1)])
    painted = COCODevkit(root, CLASSES).class_mask('000000000008')
    assert painted[5, 19] == painted[5, 25] == 1 and painted[15, 25] == 255


def test_images_without_objects_and_boxes_without_width_are_empty(root):
    devkit = COCODevkit(root, CLASSES)
    devkit.image_ids('val2017')
    for image_id in ('000000000005', '000000000003'):
        assert len(devkit.objects(image_id).bboxes) == 0 and devkit.instance_masks(image_id).masks.shape == (0, *SIZE)
        assert not devkit.class_mask(image_id).any()


def test_a_box_thinner_than_a_pixel_is_an_object(tmp_path):
    devkit, _ = made(tmp_path, ['a.jpg'], bbox=[5, 5, 0.5, 1])
    assert devkit.objects('a').bboxes.tolist() == [[5, 5, 5.5, 6]]
    for bbox in ([5, 5, 0, 1], [5, 5, 1, 0]):
        assert len(made(tmp_path / str(bbox), ['a.jpg'], bbox=bbox)[0].objects('a').bboxes) == 0


def test_perfect_predictions_score_100(root):
    metric, devkit = StageMetric(str(root), 'val2017', stages=['segmentation']), COCODevkit(root, CLASSES)
    metric.dataset_meta = dict(classes=CLASSES)
    for image_id in devkit.image_ids('val2017'):
        truth, masks = devkit.objects(image_id), devkit.instance_masks(image_id)
        found = dict(bboxes=truth.bboxes[~truth.difficult], labels=masks.labels, scores=np.ones(len(masks.labels)), masks=masks.masks)
        metric.process(None, [dict(img_id=image_id, stage_predictions=dict(segmentation=found))])
    scores = metric.evaluate(3)
    assert scores['segmentation/bbox_mAP_50_area'] == 100 and scores['segmentation/segm_mAP_75_area'] == 100


def test_an_image_is_found_in_whatever_list_it_stands(root):
    devkit = COCODevkit(root, CLASSES)
    assert devkit.image_path('000000000009') == root / 'train2017/000000000009.jpg'
    assert devkit.is_annotated('000000000003') and not devkit.is_annotated('000000000001')
    assert devkit.objects('000000000008').labels.tolist() == [1, 0, 0]


def test_without_classes_all_categories_are_taken_by_their_number(root):
    devkit = COCODevkit(root)
    assert devkit.classes == ('cat', 'dog', 'bottle') and devkit.objects('000000000008').labels.tolist() == [1, 0, 2, 0]
    assert len(COCODevkit(root, ()).all_boxes('000000000008').bboxes) == 4


def test_what_is_missing_is_named(root):
    devkit = COCODevkit(root, CLASSES)
    with pytest.raises(FileNotFoundError, match="No split 'test2017'.* Available splits: train2017, val2017"):
        devkit.image_ids('test2017')
    with pytest.raises(FileNotFoundError, match='Image .* is missing: no annotation file contains it'):
        devkit.image_path('000000000001')
    with pytest.raises(FileNotFoundError, match='is not in any annotation file'):
        devkit.objects('000000000001')
    with pytest.raises(ValueError, match='unicorn is not a category of'):
        COCODevkit(root, ('cat', 'unicorn')).tags('train2017')
    with pytest.raises(FileNotFoundError, match='Expected COCO'):
        COCODevkit(root / 'train2017', CLASSES)


def made(folder, names, categories=('cat', 'dog'), **change):
    """COCO as other tools write it: one object an image, of the category of its number."""
    for name in names:
        (folder / 'val' / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', SIZE[::-1]).save(folder / 'val' / name, 'JPEG')
    notes = [
        dict(id=k, image_id=k, category_id=k, bbox=[5, 5, 9, 9], segmentation=[[5, 5, 14, 5, 14, 14]]) | change for k in range(len(names))
    ]
    content = dict(
        images=[dict(id=k, file_name=name) for k, name in enumerate(names)],
        annotations=[{key: value for key, value in note.items() if value is not None} for note in notes],
        categories=[dict(id=k, name=name) for k, name in enumerate(categories)],
    )
    (folder / 'annotations').mkdir()
    (folder / 'annotations/instances_val.json').write_text(json.dumps(content))
    devkit = COCODevkit(folder, categories)
    return devkit, devkit.image_ids('val')


def test_images_in_folders_keep_their_own_tags_and_objects(tmp_path):
    devkit, ids = made(tmp_path, ['x/a.jpg', 'y/a.jpg'])
    assert ids == ['x/a', 'y/a'] and devkit.tags('val') == {'x/a': [0], 'y/a': [1]}
    assert [devkit.objects(image_id).labels.tolist() for image_id in ids] == [[0], [1]]
    assert devkit.image_path('y/a') == tmp_path / 'val/y/a.jpg' and devkit.class_mask('y/a').max() == 2


def test_the_area_is_that_of_the_box_where_it_is_missing(tmp_path):
    devkit, _ = made(tmp_path, ['a.jpg'])
    assert devkit.class_mask('a').max() == 1 and len(devkit.instance_masks('a').masks) == 1


def test_of_objects_without_an_area_the_one_of_the_smaller_box_is_seen(tmp_path):
    made(tmp_path, ['a.jpg', 'b.jpg'])
    path = tmp_path / 'annotations/instances_val.json'
    content = json.loads(path.read_text())
    boxes = ([0, 0, 10, 4], [0, 0, 5, 6])  # of 40 and 30 pixels
    for note, (x, y, w, h) in zip(content['annotations'], boxes, strict=True):
        note |= dict(image_id=0, bbox=[x, y, w, h], segmentation=square(x, y, x + w, y + h))
    for notes in (content['annotations'], content['annotations'][::-1]):
        path.write_text(json.dumps(content | dict(annotations=notes)))
        painted = COCODevkit(tmp_path, ('cat', 'dog')).class_mask('a')
        assert painted[2, 2] == 2 and painted[2, 8] == 1


@pytest.mark.parametrize('segmentation', [None, []])
def test_an_image_with_a_box_alone_has_no_masks_to_score(tmp_path, segmentation):
    devkit, _ = made(tmp_path, ['a.jpg'], segmentation=segmentation)
    assert devkit.objects('a').bboxes.tolist() == [[5, 5, 14, 14]]
    assert devkit.instance_masks('a') is None and devkit.class_mask('a') is None


def test_maps_of_many_classes_have_16_bits(tmp_path):
    categories = tuple(f'class {k}' for k in range(300))
    devkit, _ = made(tmp_path, ['a.jpg', 'b.jpg'], categories, category_id=299)
    assert devkit.class_mask('a').max() == 300
    devkit._notes['b'] = [devkit._notes['b'][0]._replace(crowd=True)]
    assert devkit.class_mask('b').max() == 65535


def test_one_file_under_two_spellings_is_one_image(tmp_path):
    with pytest.raises(ValueError, match="1 image appears twice in .*instances_val.json', the first: x/a.jpg"):
        made(tmp_path, ['x/a.jpg', './x//a.jpg'])


def test_two_categories_of_one_name_are_refused(tmp_path):
    """Results could name only one of their numbers."""
    with pytest.raises(ValueError, match="instances_val.json' has two categories with the name 'cat'"):
        made(tmp_path, ['a.jpg'], ('cat', 'dog', 'cat'))


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        (dict(category_id=7), r'annotations\[0\] of .*instances_val.json. has the unknown category_id 7'),
        (dict(image_id='z'), r"annotations\[0\] of .*instances_val.json. has the unknown image_id 'z'"),
        (dict(bbox=[1, 2, 3]), r'instances_val.json. is not a COCO file .*Expected `array` of length 4 - at `\$.annotations\[0\].bbox`'),
        (dict(bbox=None), 'missing required field `bbox`'),
        (dict(segmentation='a'), r'segmentation of annotations\[0\] of .*instances_val.json. cannot be read'),
        (dict(segmentation=dict(size=[2, 2], counts='13')), r'cannot be read: its mask has the size \[2, 2\]'),
        (dict(segmentation=dict(size=[100_000, 100_000], counts=[10**10])), 'cannot be read: its mask has the size'),
        (dict(segmentation=[[0, 0, 1e9, 1e9, 5, 0]]), 'cannot be read: its segmentation has a corner far outside its image'),
        (dict(segmentation=[[1, 2, 3]]), 'cannot be read: its segmentation contains a polygon'),
    ],
)
def test_a_malformed_annotation_is_named(tmp_path, change, problem):
    def read():
        devkit, _ = made(tmp_path, ['a.jpg'], **change)
        devkit.objects('a')
        devkit.instance_masks('a')

    with pytest.raises(ValueError, match=problem):
        read()


def test_a_class_in_another_letter_case_is_not_left_out_silently(tmp_path):
    made(tmp_path, ['a.jpg'])
    devkit = COCODevkit(tmp_path, ('Cat', 'dog'))
    devkit.image_ids('val')
    with pytest.raises(ValueError, match='Cat is not a category of .*: cat, dog'):
        devkit.objects('a')


@pytest.mark.parametrize('names', [['../a.jpg'], ['/etc/passwd']])
def test_no_image_lies_outside_of_its_split(tmp_path, names):
    content = dict(images=[dict(id=1, file_name=name) for name in names], annotations=[], categories=[])
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/instances_val.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='instances_val.json.: .* is not a valid file name inside its folder'):
        COCODevkit(tmp_path, ()).image_ids('val')


def test_one_name_in_two_splits_is_not_mixed_up(root):
    write(root, 'train2017', (8, 9), [])
    read_names.cache_clear()
    devkit = COCODevkit(root, CLASSES)
    devkit.image_ids('train2017')
    with pytest.raises(ValueError, match="'000000000008' is in the splits 'train2017' and 'val2017'"):
        devkit.image_ids('val2017')


@pytest.mark.parametrize('text', ['{', '[]', '{"images": []}', '[' * 100_000, '\0', '{"images": [{"id": NaN}]}'])
def test_a_file_of_another_form_is_refused(root, text):
    (root / 'annotations/instances_train2017.json').write_text(text)
    read_names.cache_clear()
    with pytest.raises(ValueError, match='instances_train2017.json'):
        COCODevkit(root, CLASSES).image_ids('train2017')
