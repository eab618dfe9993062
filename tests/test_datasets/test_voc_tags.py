"""The data set that reads only tags."""

import os
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import toy
from mmengine.logging import MMLogger
from pycocotools import mask as coco_mask

from mmlabelpenet import datasets
from mmlabelpenet.datasets import voc_tags
from mmlabelpenet.datasets.proposals import ProposalFile, ProposalRecord
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.samplers import Draw
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.datasets.voc_tags import VOCTags
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.models.weighted_heads import mask_weights
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.workbench.proposal_writer import write_proposals
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES
from mmlabelpenet.workbench.report.training_images import draw_sample


@pytest.fixture
def root(toy_root, tmp_path):
    """A copy to be damaged."""
    shutil.copytree(toy_root, tmp_path / 'rendered')
    for split in ('train', 'test'):
        shutil.copy(toy_root.parent / f'{split}.npz', tmp_path)
    return tmp_path / 'rendered'


def build(root, **kwargs):
    return DATASETS.build(toy.dataset_config(root, **kwargs))


def test_the_inputs_of_labels_are_named(toy_root):
    inputs = build(toy_root, train=False, max_proposals=5, min_proposal_area=0.1).inputs()
    assert {key: value for key, value in inputs.items() if key not in ('images', 'tags', 'proposals', 'pipeline')} == dict(
        split='train', classes=list(RENDERED_CLASSES), max_proposals=5, min_proposal_area=0.1
    )


def same(a, b):
    assert torch.equal(a['inputs'], b['inputs'])
    a, b = a['data_samples'], b['data_samples']
    assert torch.equal(a.proposals.bboxes, b.proposals.bboxes) and torch.equal(a.gt_image_labels.onehot, b.gt_image_labels.onehot)
    assert a.img_id == b.img_id and a.flip == b.flip
    return True


def write_tags(root, lines):
    path = root.parent / 'tags.csv'
    path.write_text('image,tags\n' + ''.join(f'{line}\n' for line in lines))
    return str(path)


def test_a_sample_holds_tags_and_proposals_and_no_ground_truth(toy_root):
    dataset, devkit = build(toy_root, train=False), VOCDevkit(toy_root, RENDERED_CLASSES)
    assert len(dataset) == 6
    for i in range(6):
        sample = dataset[i]['data_samples']
        assert set(sample.keys()) == {'gt_image_labels', 'proposals', 'pseudo_instances'}
        truth = set(devkit.objects(sample.img_id).labels.tolist())
        assert set(sample.gt_image_labels.onehot.nonzero().flatten().tolist()) == truth
        np.testing.assert_allclose(sample.proposals.bboxes, dataset.proposal_file.get(sample.img_id)[0], rtol=1e-6)
        assert len(sample.pseudo_instances) == 0


@pytest.mark.parametrize('tags', ['lists', 'xml'])
def test_boxes_and_masks_of_training_images_are_not_read(toy_root, root, tags):
    for path in (root / 'Annotations').glob('*.xml'):
        text = path.read_text()
        path.write_text(text.replace('<xmin>', '<xmin>nan').replace('<ymax>', '<ymax>nan'))
    shutil.rmtree(root / 'SegmentationObject')
    shutil.rmtree(root / 'SegmentationClass')
    if tags == 'lists':
        shutil.rmtree(root / 'Annotations')
    clean, poisoned = build(toy_root, tags=tags), build(root, tags=tags)
    for i in range(6):
        assert same(clean[Draw(i, i)], poisoned[Draw(i, i)])


def test_the_best_proposals_are_taken_where_only_some_are_wanted(toy_root):
    every, some = build(toy_root, train=False), build(toy_root, train=False, max_proposals=5)
    for i in range(6):
        bboxes, scores = (every.get_data_info(i)['proposals'][key] for key in ('bboxes', 'scores'))
        best = np.argsort(-scores, kind='stable')[:5]
        assert some.get_data_info(i)['proposals']['bboxes'].tolist() == bboxes[best].tolist()


def test_small_proposals_are_left_out_unless_all_are_small(toy_root):
    every, large, none = (build(toy_root, train=False, min_proposal_area=share) for share in (0.0, 0.1, 1.0))
    left_out = 0
    for i in range(6):
        bboxes = every.get_data_info(i)['proposals']['bboxes']
        height, width = every.get_data_info(i)['proposal_image_size']
        kept = [box for box in bboxes.tolist() if (box[2] - box[0]) * (box[3] - box[1]) >= 0.1 * height * width]
        assert large.get_data_info(i)['proposals']['bboxes'].tolist() == kept
        assert none.get_data_info(i)['proposals']['bboxes'].tolist() == bboxes.tolist()
        left_out += len(bboxes) - len(kept)
    assert left_out


def test_images_that_are_tested_on_need_no_tags(root):
    for path in (root / 'ImageSets/Main').glob('*_test.txt'):
        path.unlink()
    shutil.rmtree(root / 'Annotations')
    dataset = build(root, split='test', train=False, tags=None, keep_untagged=True, test_mode=True)
    assert len(dataset) == 2 and not dataset[0]['data_samples'].gt_image_labels.onehot.any()


def test_all_sources_of_tags_agree(toy_root):
    datasets = [build(toy_root, tags=tags) for tags in ('lists', 'xml')]
    onehots = [torch.stack([dataset[i]['data_samples'].gt_image_labels.onehot for i in range(6)]) for dataset in datasets]
    assert torch.equal(*onehots)


def test_a_draw_decides_the_augmentation(toy_root):
    dataset = build(toy_root)
    assert same(dataset[Draw(2, 7)], dataset[Draw(2, 7)])
    shapes = {(*dataset[Draw(2, seed)]['inputs'].shape[1:], dataset[Draw(2, seed)]['data_samples'].flip) for seed in range(20)}
    assert shapes == {(h, w, flip) for h, w in ((96, 128), (120, 160)) for flip in (False, True)}


def test_a_draw_seeds_every_generator_that_a_transform_may_use(toy_root):
    dataset, seen = build(toy_root), []
    for seed in (7, 8, 7):
        dataset[Draw(2, seed)]
        seen.append((torch.rand(1).item(), np.random.rand(), random.random()))
    assert seen[0] == seen[2] and not set(seen[0]) & set(seen[1])


def test_proposals_follow_the_augmentation(toy_root):
    dataset = build(toy_root)
    plain = torch.as_tensor(dataset.proposal_file.get(dataset.get_data_info(0)['img_id'])[0])
    for seed in range(8):
        sample = dataset[Draw(0, seed)]['data_samples']
        boxes = plain * sample.scale_factor[0]
        if sample.flip:
            boxes[:, [0, 2]] = sample.img_shape[1] - boxes[:, [2, 0]]
        torch.testing.assert_close(sample.proposals.bboxes, boxes, atol=1e-3, rtol=0)


def store_of(dataset, bbox=(10.0, 20.0, 30.0, 25.0)):
    """One instance an image, its mask the upper left quarter of the box."""
    mask = np.zeros((96, 128), np.uint8)
    mask[20:32, 10:25] = 1
    rle = coco_mask.encode(np.asfortranarray(mask))
    rle['counts'] = rle['counts'].decode()
    images = [dict(id=i + 1, img_id=dataset.get_data_info(i)['img_id']) for i in range(len(dataset))]
    annotation = dict(bbox=list(bbox), category_id=3, segmentation=rle, weight=0.25)
    categories = [dict(id=number, name=name) for number, name in enumerate(dataset.metainfo['classes'], 1)]
    annotations = [dict(annotation, image_id=image['id']) for image in images]
    return PseudoLabelStore(dict(info={}, images=images, annotations=annotations, categories=categories))


def test_pseudo_labels_follow_the_augmentation(toy_root):
    dataset = build(toy_root)
    dataset.use_pseudo_labels(store_of(dataset))
    for seed in range(8):
        sample = dataset[Draw(1, seed)]['data_samples']
        pseudo, scale = sample.pseudo_instances, sample.scale_factor[0]
        x1, y1, x2, y2 = (torch.tensor([10.0, 20, 40, 45]) * scale).tolist()
        if sample.flip:
            x1, x2 = sample.img_shape[1] - x2, sample.img_shape[1] - x1
        assert pseudo.bboxes[0].tolist() == pytest.approx([x1, y1, x2, y2], abs=1e-3)
        assert pseudo.labels.tolist() == [2] and pseudo.weights.tolist() == [0.25]
        rows, columns = pseudo.masks.masks[0].nonzero()
        assert rows.min() == pytest.approx(20 * scale, abs=1) and rows.max() + 1 == pytest.approx(32 * scale, abs=1)
        left = columns.min() if not sample.flip else sample.img_shape[1] - columns.max() - 1
        assert left == pytest.approx(10 * scale, abs=1)
        assert 'gt_instances' not in sample
    dataset.use_pseudo_labels(None)
    assert len(dataset[Draw(1, 0)]['data_samples'].pseudo_instances) == 0


def test_labels_without_segmentation_are_boxes_whose_masks_are_not_learnt(toy_root):
    dataset = build(toy_root)
    content = store_of(dataset).content
    notes = [dict(note, segmentation=None) for note in content['annotations']]
    dataset.use_pseudo_labels(PseudoLabelStore(content | dict(annotations=notes)))
    sample = dataset[Draw(1, 0)]
    pseudo = sample['data_samples'].pseudo_instances
    assert len(pseudo) == 1 and not pseudo.masks.masks.any() and pseudo.masks.masks.shape[1:] == sample['data_samples'].img_shape
    assert draw_sample(sample, dataset.metainfo['classes']).any()
    result = SimpleNamespace(pos_assigned_gt_inds=torch.tensor([0, 0]), pos_weights=torch.tensor([0.25, 0.25]))
    assert mask_weights(result, pseudo).tolist() == [0, 0]


def test_labels_of_a_store_are_taken_by_the_names_of_their_classes(toy_root):
    dataset = build(toy_root)
    content = store_of(dataset).content
    first, *others = [entry['name'] for entry in content['categories']]
    renamed = [
        dict(id=40 - number, name=name) for number, name in enumerate([*others, first])
    ]  # of another program: odd numbers, another order
    number = next(entry['id'] for entry in renamed if entry['name'] == dataset.metainfo['classes'][2])
    notes = [dict(note, category_id=number) for note in content['annotations']]
    dataset.use_pseudo_labels(PseudoLabelStore(dict(content, categories=renamed, annotations=notes)))
    assert dataset[Draw(1, 0)]['data_samples'].pseudo_instances.labels.tolist() == [2]
    strange = [dict(entry, name=f'other {entry["name"]}') for entry in renamed]
    with pytest.raises(ValueError, match='has labels with classes that the data set lacks: other tree'):
        dataset.use_pseudo_labels(PseudoLabelStore(dict(content, categories=strange, annotations=notes)))


def test_an_image_that_the_store_does_not_know_is_named(toy_root):
    dataset = build(toy_root)
    dataset.use_pseudo_labels(PseudoLabelStore(dict(info={}, images=[], annotations=[], categories=[])))
    with pytest.raises(KeyError, match="no image 'train_"):
        dataset[Draw(0, 0)]


def test_missing_pseudo_labels_are_reported(toy_root):
    with pytest.raises(FileNotFoundError, match='nowhere.json'):
        build(toy_root, pseudo_labels='nowhere.json')


def test_images_without_a_tag_are_skipped_with_a_count(root, monkeypatch):
    names = [line.split()[0] for line in (root / 'ImageSets/Main/train.txt').read_text().splitlines()]
    tags = write_tags(root, [f'{name},kite' for name in names[:4]] + [f'{name},' for name in names[4:]])
    said = []
    monkeypatch.setattr(voc_tags, 'warn', said.append)
    assert len(build(root, tags=tags)) == 4
    assert len(said) == 1 and "2 images of 'train' have no tag and are skipped" in said[0]
    assert len(build(root, tags=tags, keep_untagged=True, test_mode=True)) == 6
    assert len(said) == 1


def test_a_tag_that_is_no_class_is_named(root):
    names = (root / 'ImageSets/Main/train.txt').read_text().split()
    with pytest.raises(ValueError, match='unicorn'):
        build(root, tags=write_tags(root, [f'{names[0]},unicorn']))


def test_missing_proposals_carry_the_command_that_makes_them(root):
    (root.parent / 'train.npz').unlink()
    with pytest.raises(FileNotFoundError, match='python tools/dataset_converters/selective_search.py .*rendered train .*train.npz'):
        build(root)


def test_proposals_of_another_split_carry_the_command_too(root):
    with pytest.raises(ValueError, match="(?s)split 'test'.*python tools/dataset_converters/selective_search.py .*rendered train"):
        build(root, proposals=str(root.parent / 'test.npz'))


def test_proposals_of_another_image_size_are_refused(root):
    dataset = build(root)
    path = dataset.get_data_info(0)['img_path']
    cv2.imwrite(path, cv2.imread(path)[:90])
    with pytest.raises(ValueError, match=r"'train_.*\(96, 128\).*\(90, 128\)"):
        dataset[Draw(0, 0)]


def test_an_image_that_was_replaced_since_its_proposals_were_made_is_refused(root):
    dataset = build(root)
    path, name = Path(dataset.get_data_info(0)['img_path']), dataset.get_data_info(0)['img_id']
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    with pytest.raises(ValueError, match=f'{name}.jpg has changed since its proposals in .*train.npz.* were computed'):
        dataset[0]
    assert dataset[1] is not None


def test_proposals_of_an_earlier_version_are_used_with_a_warning_once(root, monkeypatch):
    file = ProposalFile(root.parent / 'train.npz')
    records = [ProposalRecord(name, file.size(name), *file.get(name)) for name in file.image_ids]
    write_proposals(root.parent / 'train.npz', records, file.settings)
    said: list[str] = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'log', lambda level, message: said.append(message) if level >= 30 else None)
    dataset = build(root)
    build(root)
    path = dataset.get_data_info(0)['img_path']
    cv2.imwrite(path, 255 - cv2.imread(path))
    assert dataset[0] is not None and len(said) == 1 and 'has no hashes of its image files' in said[0]


def test_proposals_are_not_asked_for_where_no_stage_needs_them(root):
    assert len(build(root, proposals=None)[Draw(0, 0)]['data_samples'].proposals) == 0


@pytest.mark.parametrize('damage', ['missing', 'empty', 'noise', 'half'])
def test_an_image_that_cannot_be_read_is_named(root, damage):
    dataset = build(root)
    path = dataset.get_data_info(3)['img_path']
    content = Path(path).read_bytes()
    Path(path).unlink()
    if damage != 'missing':
        Path(path).write_bytes(dict(empty=b'', noise=b'not an image', half=content[:50])[damage])
    with pytest.raises(ValueError, match=f'Image {path} cannot be read'):
        dataset[Draw(3, 0)]


def test_so_many_bad_images_are_passed_over_with_a_count_and_no_more(root, caplog):
    dataset = build(root, max_bad_images=2)
    for index in (2, 3):
        Path(dataset.get_data_info(index)['img_path']).write_bytes(b'')
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voc_tags, 'warn', said.append)
        got = [dataset[Draw(index, 7)] for index in (3, 2, 3, 4)]
    assert [item['data_samples'].img_id for item in got] == [dataset.get_data_info(4)['img_id']] * 4
    assert all(torch.equal(item['inputs'], got[-1]['inputs']) for item in got)  # as if the next one had been drawn
    assert [text.split(' unreadable')[0] for text in said] == ['1 of at most 2', '2 of at most 2']
    path = dataset.get_data_info(0)['img_path']
    Path(path).write_bytes(b'')
    with pytest.raises(ValueError, match=f'Image {path} cannot be read'):
        dataset[Draw(0, 7)]


def test_testing_passes_over_no_bad_image(root):
    dataset = build(root, max_bad_images=2, test_mode=True)
    Path(dataset.get_data_info(2)['img_path']).write_bytes(b'')
    with pytest.raises(ValueError, match='cannot be read'):
        dataset[2]


@pytest.mark.parametrize('what', ['devkit', 'split'])
def test_a_missing_devkit_or_split_is_reported(root, what):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        if what == 'devkit':
            build(root / 'nowhere')
        else:
            build(root, split='nowhere')


def test_the_package_has_its_data_sets_transforms_and_samplers_and_nothing_else():
    assert all(getattr(datasets, name).__name__ == name for name in datasets._LATER)
    with pytest.raises(AttributeError, match="'mmlabelpenet.datasets' has no attribute 'VOC'"):
        _ = datasets.VOC


@pytest.mark.parametrize('name', ['tags.csv', 'tags.json', '63'])
def test_tags_and_image_lists_from_a_pipe_are_not_called_missing(toy_root, tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=f"^Expected a regular file at '.*{name}', got a pipe.$"):
        VOCDevkit(toy_root, RENDERED_CLASSES).tags('train', tmp_path / name)
    (tmp_path / 'kit/ImageSets/Main').mkdir(parents=True)
    (tmp_path / 'kit/JPEGImages').mkdir()
    os.mkfifo(tmp_path / 'kit/ImageSets/Main/train.txt')
    with pytest.raises(FileNotFoundError, match="train.txt', got a pipe.$"):
        VOCDevkit(tmp_path / 'kit', RENDERED_CLASSES).list_file('train')


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(max_proposals=0), 'max_proposals must be at least 1 or None'),
        (dict(max_proposals=-1), 'max_proposals must be at least 1'),
        (dict(min_proposal_area=-0.1), 'min_proposal_area in \\[0, 1\\]'),
        (dict(min_proposal_area=1.1), 'min_proposal_area in'),
        (dict(min_proposal_area=float('nan')), 'min_proposal_area in'),
        (dict(max_bad_images=-1), 'max_bad_images at least 0'),
        (dict(indices=0), 'a number of images, or a list of indices of the 6'),
        (dict(indices=-1), 'got -1'),
        (dict(indices=[]), r'got \[\]'),
        (dict(indices='abc'), "got 'abc'"),
        (dict(indices=['a']), r"got \['a'\]"),
        (dict(indices=1.5), 'got 1.5'),
        (dict(indices=True), 'got True'),
        (dict(indices=[5, 6]), r'got \[5, 6\]'),
        (dict(indices=[-7]), r'got \[-7\]'),
        (dict(tags=None), "No image of split 'train' has a tag of these classes"),
    ],
)
def test_numbers_beyond_their_range_and_data_sets_of_no_image_are_refused(toy_root, change, said):
    with pytest.raises(ValueError, match=said):
        DATASETS.build(toy.dataset_config(toy_root, **change))


def test_a_proposal_of_just_the_least_area_stays(toy_root):
    every = DATASETS.build(toy.dataset_config(toy_root)).get_data_info(0)
    (height, width), boxes = every['proposal_image_size'], every['proposals']['bboxes']
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    share = float(np.median(areas[1:] if len(areas) % 2 == 0 else areas)) / (height * width)
    kept = DATASETS.build(toy.dataset_config(toy_root, min_proposal_area=share)).get_data_info(0)['proposals']['bboxes']
    assert len(kept) == (areas >= share * height * width).sum() > (areas > share * height * width).sum()


def test_a_wrapper_that_balances_classes_is_told_the_tags(toy_root):
    dataset = build(toy_root)
    assert [dataset.get_cat_ids(index) for index in range(3)] == [dataset.get_data_info(index)['tags'] for index in range(3)]


def test_a_data_set_whose_classes_are_not_named_has_those_of_voc(toy_root, tmp_path):
    shutil.copytree(toy_root, tmp_path / 'devkit')
    (tmp_path / 'devkit/labelmap.txt').unlink(missing_ok=True)
    dataset = VOCTags(str(tmp_path / 'devkit'), 'train', tags=None, keep_untagged=True, pipeline=toy.pipelines()[1])
    assert dataset.metainfo['classes'] == VOC_CLASSES and len(dataset) == 6


def test_images_are_chosen_by_number_or_by_place(toy_root):
    names = DATASETS.build(toy.dataset_config(toy_root)).image_ids
    for indices, expected in ((1, names[:1]), (7, names), ([5, 0], [names[5], names[0]]), ([-6], names[:1])):
        assert DATASETS.build(toy.dataset_config(toy_root, indices=indices)).image_ids == expected
    whole = DATASETS.build(toy.dataset_config(toy_root, max_proposals=1, min_proposal_area=1.0))
    assert [len(whole.get_data_info(k)['proposals']['bboxes']) for k in range(6)] == [1] * 6
