"""Enabling test-time augmentation in a config."""

import copy
from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config

from mmlabelpenet import apis
from mmlabelpenet.apis.augment import augment_test, view_pipeline
from mmlabelpenet.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[2]
TTA = dict(model=dict(type='LabelPENetTTA'), scales=[1.0, 1.5], flip=True)


@pytest.fixture(autouse=True, scope='module')
def _hurry():
    with pytest.MonkeyPatch.context() as patch:
        toy.hurry(patch)
        yield


def make_config(toy_root, work_dir, **tta):
    config = toy.run_config(toy_root, work_dir, [('classification', 1)])
    dataset = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
    config.corloc_dataloader = copy.deepcopy(config.test_dataloader)
    evaluator = dict(type='StageMetric', data_root=str(toy_root), split='test', mask_classes=dataset['metainfo']['classes'])
    config.test_evaluator, config.corloc_evaluator = evaluator, dict(evaluator, protocol='corloc')
    config.test_cfg = dict(type='TestLoop')
    config.tta = {**TTA, **tta}
    return config


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('checkpoint') / 'iter_9.pth'
    torch.save({'state_dict': toy.build(toy.model_config(), seed=2).state_dict(), 'meta': {'seed': 3, 'iter': 9}}, path)
    return path


def test_each_scale_is_seen_as_it_is_and_mirrored(toy_root):
    config = toy.dataset_config(toy_root, train=False)
    config['pipeline'] = view_pipeline(config['pipeline'], [1.0, 1.5], True)
    views = DATASETS.build(config)[0]
    plain = DATASETS.build(toy.dataset_config(toy_root, train=False))[0]
    assert [tuple(image.shape) for image in views['inputs']] == [(3, 96, 128)] * 2 + [(3, 144, 192)] * 2
    assert [sample.get('flip', False) for sample in views['data_samples']] == [False, True, False, True]
    assert torch.equal(views['inputs'][0], plain['inputs']) and torch.equal(views['inputs'][1], plain['inputs'].flip(-1))
    assert torch.equal(views['data_samples'][0].proposals.bboxes, plain['data_samples'].proposals.bboxes)
    assert len(view_pipeline(toy.pipelines()[1], [1.0, 1.5], False)[2]['transforms'][0]) == 2


def test_a_size_by_factor_is_scaled_too():
    steps = [dict(type='ProposalBroadcaster', transforms=[dict(type='Resize', scale_factor=2.0), dict(type='Other')])]
    (step,) = view_pipeline(steps, [0.5], False)
    assert step['transforms'][0][0]['transforms'] == [dict(type='Resize', scale_factor=1.0), dict(type='Other')]


def test_the_config_stays_as_it_was_and_its_model_is_wrapped(toy_root, tmp_path):
    config = make_config(toy_root, tmp_path)
    before = config.to_dict()
    changed = augment_test(config)
    assert config.to_dict() == before and changed.model.module == config.model and changed.train_dataloader == config.train_dataloader
    for loader in (changed.test_dataloader, changed.corloc_dataloader):
        assert [step.type for step in loader.dataset.pipeline] == ['LoadImageFromFile', 'LoadProposals', 'TestTimeAug']


def test_one_view_scores_as_no_augmentation_and_several_say_so(toy_root, checkpoint, tmp_path):
    plain = apis.test(make_config(toy_root, tmp_path / 'a'), checkpoint, stages=['classification', 'segmentation'])
    one = apis.test(
        make_config(toy_root, tmp_path / 'b', scales=[1.0], flip=False), checkpoint, stages=['classification', 'segmentation'], tta=True
    )
    for stage in ('classification', 'segmentation'):
        for key in ('bbox_mAP_50_area', 'segm_mAP_25_area', 'ABO_class', 'mIoU'):
            assert one[stage][key] == pytest.approx(plain[stage][key], abs=0.5), (stage, key)
    assert plain['meta']['tta'] is None and one['meta']['tta'] == dict(scales=[1.0], flip=False)
    several = apis.test(make_config(toy_root, tmp_path / 'c'), checkpoint, corloc=True, stages='detection', tta=True)
    assert several['meta']['tta'] == dict(scales=[1.0, 1.5], flip=True) and 0 <= several['detection']['CorLoc_50'] <= 100


def test_every_config_of_ours_can_be_augmented():
    config = augment_test(apis.load_config(ROOT / 'configs/labelpenet/labelpenet_vgg16_voc07.py'))
    assert config.model.type == 'LabelPENetTTA' and config.model.module.type == 'LabelPENet'
    assert len(config.test_dataloader.dataset.pipeline[2].transforms[0]) == 6
    assert MODELS.get('LabelPENetTTA') is not None


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(), "no key 'tta'"),
        (dict(tta=TTA), 'Resize'),
        (dict(tta=dict(TTA, scales=[])), r'tta.scales must be a list of at least one finite number above 0, .* got \[\]'),
        (dict(tta=dict(TTA, scales=[1.0, float('nan')])), 'tta.scales must be a list'),
        (dict(tta=dict(TTA, scales=[0])), 'tta.scales must be a list'),
        (dict(tta=dict(TTA, scales=[True])), 'tta.scales must be a list'),
        (dict(tta=dict(TTA, scales=1.5)), 'tta.scales must be a list .* got 1.5'),
        (dict(tta=dict(TTA, flip='no')), "tta.flip must be True or False, got 'no'"),
        (dict(tta=dict(model=TTA['model'], flip=True)), 'tta has no scales'),
    ],
)
def test_a_config_that_cannot_be_augmented_says_why(config, message):
    pipeline = [dict(type='LoadImageFromFile')]
    with pytest.raises(ValueError, match=message):
        augment_test(Config(dict(config, model=dict(), test_dataloader=dict(dataset=dict(pipeline=pipeline)))))
