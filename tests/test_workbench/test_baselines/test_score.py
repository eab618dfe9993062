"""The trivial baselines in the table of the trained stages."""

import json

import numpy as np
import pytest
import toy
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlabelpenet.datasets.proposals import ProposalFile
from mmlabelpenet.evaluation.functional import box_iou
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.baselines import score
from mmlabelpenet.workbench.baselines.places import METHODS
from mmlabelpenet.workbench.baselines.score import trivial_baselines


def config_of(toy_root):
    content = dict(model=toy.model_config(), default_scope='mmlabelpenet')
    for name, split, protocol in (('test', 'test', 'test'), ('corloc', 'train', 'corloc')):
        dataset = toy.dataset_config(toy_root, split, train=False, keep_untagged=True, test_mode=True)
        content[f'{name}_dataloader'] = dict(dataset=dataset)
        evaluator = dict(type='StageMetric', data_root=str(toy_root), split=split, protocol=protocol)
        content[f'{name}_evaluator'] = dict(evaluator, mask_classes=dataset['metainfo']['classes'])
    return Config(content)


@pytest.fixture(scope='module')
def scored(toy_root, tmp_path_factory):
    init_default_scope('mmlabelpenet')
    out = tmp_path_factory.mktemp('scored') / 'trivial.json'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, 'STEP_OF_CHOICE', 3)
        return trivial_baselines(config_of(toy_root), out=out, crf=toy.CRF), json.loads(out.read_text())


def test_every_baseline_has_a_row_with_box_mask_and_location_metrics(scored):
    table, written = scored
    assert list(table) == [*METHODS, 'meta'] and written == table
    for method in METHODS:
        for key in ('bbox_mAP_50_area', 'segm_mAP_50_area', 'ABO_class', 'mIoU', 'CorLoc_50'):
            assert 0 <= table[method][key] <= 100
        assert set(table[method]['per_class']['CorLoc_50'])


def test_the_threshold_is_the_best_of_those_tried_on_the_images_kept_for_it(scored):
    meta = scored[0]['meta']
    assert list(meta['thresholds']) == ['0.1', '0.2', '0.3', '0.4', '0.5']
    assert meta['thresholds'][f'{meta["threshold"]:g}'] == max(meta['thresholds'].values())
    assert meta['corloc']['split'] == 'train' and meta['corloc']['images'] == 6 and meta['test']['images'] == 2


def test_corloc_of_the_largest_proposal_equals_going_through_the_files(scored, toy_root):
    devkit = VOCDevkit(toy_root, toy.RENDERED_CLASSES)
    proposals = ProposalFile(toy_root.parent / 'train.npz', toy_root, 'train')
    right = [[] for _ in devkit.classes]
    for image_id, tags in devkit.tags('train').items():
        boxes, objects = proposals.get(image_id)[0].astype(float), devkit.objects(image_id)
        largest = boxes[(boxes[:, 2] - boxes[:, 0]).__mul__(boxes[:, 3] - boxes[:, 1]).argmax()]
        for tag in tags:
            right[tag].append(box_iou(largest[None], objects.bboxes[objects.labels == tag].astype(float)).max() >= 0.5)
    expected = np.mean([100 * np.mean(found) for found in right if found])
    assert scored[0]['largest']['CorLoc_50'] == pytest.approx(expected)


def test_the_training_list_is_not_looked_at_twice_for_boxes_alone(toy_root, monkeypatch):
    seen = []
    real = score.FeatureMaps.forward
    monkeypatch.setattr(score.FeatureMaps, 'forward', lambda self, data: seen.append(data['data_samples'][0].img_id) or real(self, data))
    table = trivial_baselines(config_of(toy_root), ['largest', 'whole'])
    assert list(table) == ['largest', 'whole', 'meta'] and table['meta']['thresholds'] is None
    assert len(seen) == len(set(seen)) == 8  # six to learn from, two to test


def test_an_unknown_baseline_is_refused(toy_root):
    with pytest.raises(ValueError, match='got smallest'):
        trivial_baselines(config_of(toy_root), ['smallest'])


def test_an_unknown_crf_is_refused_before_the_classifier_is_trained(toy_root, monkeypatch):
    monkeypatch.setattr('mmlabelpenet.workbench.baselines.score.learn', None)
    with pytest.raises(ValueError, match="no CRF preset 'smal'"):
        trivial_baselines(config_of(toy_root), crf='smal')
