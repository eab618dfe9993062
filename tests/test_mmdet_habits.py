"""Habits of MMDetection users work, or are rejected with one line that explains what to write instead (docs/for_mmdet_users.md)."""

import copy
import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlabelpenet.apis.checkpoint import read_checkpoint
from mmlabelpenet.apis.test import test as run_test
from mmlabelpenet.apis.train import check_training
from mmlabelpenet.engine import loops
from mmlabelpenet.engine.checks import check_stores
from mmlabelpenet.engine.phases import Phase, check_place, make_phases
from mmlabelpenet.mmdet_steps import check_pipeline
from mmlabelpenet.registry import DATASETS, MODELS

TWO = dict(stages=('classification', 'detection'))
CLASSES = toy.RENDERED_CLASSES


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    toy.hurry(monkeypatch)


def training(toy_root, folder, phases=(('classification', 2), ('detection', 2)), **model):
    config = toy.run_config(toy_root, folder, phases, **(TWO | model))
    return Config(config.to_dict(), format_python_code=False)


def evaluated(toy_root):
    return dict(type='StageMetric', data_root=str(toy_root), split='test', metric=['bbox'])


def validated(config, toy_root, interval=1):
    """The config with validation at an interval of iterations."""
    data = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.val_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=data)
    config.val_evaluator, config.val_cfg = evaluated(toy_root), dict()
    config.train_cfg.val_interval = interval
    return config


def trained(config):
    runner = toy.build_runner(config)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def model(toy_root, tmp_path_factory):
    """Config and checkpoint of the toy network, untrained."""
    init_default_scope('mmlabelpenet')
    folder = tmp_path_factory.mktemp('habits')
    config = toy.run_config(toy_root, folder, [('classification', 1)])
    data = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=data)
    config.test_evaluator, config.test_cfg = evaluated(toy_root), dict()
    config.visualizer = dict(type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
    config.custom_imports = dict(imports=['mmlabelpenet'], allow_failed_imports=False)
    config.dump(folder / 'toy.py')
    network = toy.build(toy.model_config(), seed=2)
    torch.save({'state_dict': network.state_dict(), 'meta': dict(dataset_meta=dict(classes=CLASSES))}, folder / 'iter_1.pth')
    return folder / 'toy.py', folder / 'iter_1.pth'


def image_of(toy_root):
    return str(min((toy_root / 'JPEGImages').glob('test_*')))


# -------------------------------------------------------------------------------------------------------- validation


def test_validation_scores_the_stages_that_have_trained_and_the_best_checkpoint_waits_for_its_stage(toy_root, tmp_path, monkeypatch):
    config, seen = validated(training(toy_root, tmp_path), toy_root), []
    config.default_hooks.checkpoint.update(save_best='detection/bbox_mAP_50_area')
    monkeypatch.setattr(
        'mmlabelpenet.engine.hooks.atomic_checkpoint.AtomicCheckpointHook.after_val_epoch',
        lambda self, runner, metrics: (
            seen.append(sorted({key.split('/')[0] for key in metrics})),
            self._save_best_checkpoint(runner, metrics),
        ),
    )
    trained(config)
    assert seen == [['classification']] * 2 + [['classification', 'detection']] * 2
    (best,) = tmp_path.glob('best_*.pth')
    assert best.name.startswith('best_detection_bbox_mAP_50_area_iter_') and best.stem.endswith(('_3', '_4'))


@pytest.mark.parametrize(
    ('settings', 'after'),
    [
        (dict(val_interval=3), [3, 4]),
        (dict(val_interval=1, val_begin=3), [3, 4]),
        (dict(val_interval=9, dynamic_intervals=[(2, 1)]), [1, 2, 3, 4]),
        (dict(val_interval=9, dynamic_intervals=[(4, 1)]), [3, 4]),
        (dict(val_interval=9), [4]),
    ],
)
def test_validation_comes_when_mmengine_would_validate_and_at_the_end(toy_root, tmp_path, monkeypatch, settings, after):
    config, seen = validated(training(toy_root, tmp_path), toy_root), []
    config.train_cfg.update(settings)
    monkeypatch.setattr('mmengine.runner.ValLoop.run', lambda self: seen.append(self.runner.iter))
    trained(config)
    assert seen == after


def test_the_best_checkpoint_is_by_default_that_of_the_last_stage(toy_root, tmp_path):
    config = validated(training(toy_root, tmp_path), toy_root, 2)
    config.default_hooks.checkpoint.update(save_best='auto')
    trained(config)
    (best,) = tmp_path.glob('best_*.pth')
    assert best.name.startswith('best_detection_bbox') and best.stem.endswith('_4')


def test_a_metric_that_no_validation_gives_is_named(toy_root, tmp_path):
    config = validated(training(toy_root, tmp_path, [('classification', 1)]), toy_root)
    config.default_hooks.checkpoint.update(save_best='classification/bbox_mAP_5')
    with pytest.raises(ValueError, match="'classification/bbox_mAP_5' is not a validation metric.* classification/bbox_mAP_50_area"):
        trained(config)


def test_early_stopping_ends_the_phase_and_the_next_one_begins(toy_root, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(loops, 'print_log', lambda text, *_, **__: said.append(text))
    config = validated(training(toy_root, tmp_path, [('classification', 9), ('detection', 1)], interval=100), toy_root)
    stop = dict(type='EarlyStoppingHook', monitor='classification/bbox_mAP_50_area', patience=1, min_delta=200)
    config.custom_hooks = [stop, dict(type='mmlabelpenet_CountIterations')]
    config.train_cfg.phases.detection.lr = 0.007
    runner = trained(config)
    counter = next(hook for hook in runner.hooks if type(hook).__name__ == 'CountIterations')
    assert counter.done[-1] == 9 and len(counter.done) < 9 and runner.iter == 10
    end = len(counter.done) - 1  # one iteration is of the next phase
    assert counter.rates == pytest.approx([0.01] * end + [0.007])
    assert f'Phase classification is stopped at iteration {end}; counting continues from its planned end, 9.' in said
    meta = read_checkpoint(tmp_path / 'iter_9.pth')['meta']
    assert meta['iter'] == 9


@pytest.fixture(scope='module', autouse=True)
def _count_iterations():
    from mmengine.hooks import Hook

    from mmlabelpenet.registry import HOOKS

    class CountIterations(Hook):
        def before_train(self, runner):
            self.done, self.rates = [], []

        def after_train_iter(self, runner, batch_idx, **kwargs):
            self.done.append(runner.iter)
            self.rates.append(runner.optim_wrapper.optimizer.param_groups[0]['lr'])

    HOOKS.register_module(name='mmlabelpenet_CountIterations', module=CountIterations, force=True)


# ----------------------------------------------------------------------------------------------------------- testing


def test_predictions_are_dumped_as_mmdet_does_with_the_table_beside(model, toy_root, tmp_path):
    config = Config.fromfile(model[0])
    config.work_dir = str(tmp_path)
    table = run_test(config, model[1], 'segmentation', out=tmp_path / 'preds.pkl', show_dir='drawn')
    samples = pickle.loads((tmp_path / 'preds.pkl').read_bytes())
    assert {sample['img_id'] for sample in samples} == {'test_00000', 'test_00001'} and 'segmentation' in table
    found = samples[0]['pred_instances']
    assert set(found) == {'bboxes', 'scores', 'labels', 'masks'} and found['masks'][0]['size'] == [toy.HEIGHT, toy.WIDTH]
    assert not {'stage_predictions', 'proposals', 'pseudo_instances'} & set(samples[0])
    assert (tmp_path / 'preds.json').is_file()
    assert len(list(tmp_path.glob('*/drawn/*.jpg'))) == 2


def test_detections_are_drawn_where_hooks_and_visualizer_are_none(model, tmp_path):
    config = Config.fromfile(model[0])
    config.work_dir, config.default_hooks, config.visualizer, config.model.test_cfg = str(tmp_path), None, None, None
    run_test(config, model[1], 'segmentation', show_dir='drawn')
    assert len(list(tmp_path.glob('*/drawn/*.jpg'))) == 2


@pytest.mark.parametrize('kind', ['VOCMetric', 'mmdet.CocoMetric'])
def test_metrics_that_read_the_ground_truth_of_samples_are_refused_with_what_measures_the_same(model, toy_root, kind):
    config = Config.fromfile(model[0])
    config.test_evaluator = [config.test_evaluator, dict(type=kind)]
    with pytest.raises(ValueError, match='StageMetric computes'):
        run_test(config, model[1])


@pytest.mark.parametrize('kind', ['VOCMetric', 'CocoMetric'])
def test_a_runner_too_says_what_measures_where_samples_have_no_ground_truth(model, toy_root, tmp_path, kind):
    config = Config.fromfile(model[0])
    config.work_dir, config.load_from, config.test_evaluator = str(tmp_path), str(model[1]), dict(type=kind)
    with pytest.raises(ValueError, match=f'{kind} reads ground truth .* StageMetric computes'):
        toy.build_runner(config).test()


# ---------------------------------------------------------------------------------------------------------- inference


def test_init_detector_and_inference_detector_work_without_proposals_and_tags(model, toy_root):
    from mmdet.apis import inference_detector, init_detector

    detector = init_detector(str(model[0]), str(model[1]), device='cpu')
    assert tuple(detector.dataset_meta['classes']) == tuple(CLASSES)
    found = inference_detector(detector, image_of(toy_root)).pred_instances
    assert len(found) and found.masks.dtype == torch.bool and found.masks.shape == (len(found), toy.HEIGHT, toy.WIDTH)
    stages, detector.inference.stages = detector.inference.stages, ['classification']
    with pytest.raises(ValueError, match='needs proposals.*LabelPENetInferencer'):
        inference_detector(detector, image_of(toy_root))
    detector.inference.stages = stages
    (again,) = inference_detector(detector, [cv2.imread(image_of(toy_root))])
    assert torch.equal(again.pred_instances.bboxes, found.bboxes)


def test_the_inferencer_of_mmdet_works_with_our_scope(model, toy_root, tmp_path):
    from mmdet.apis import DetInferencer

    inferencer = DetInferencer(model=str(model[0]), weights=str(model[1]), device='cpu', scope='mmlabelpenet', show_progress=False)
    found = inferencer(image_of(toy_root), out_dir=str(tmp_path), pred_score_thr=0.0)
    assert found['predictions'][0]['labels'] and list(tmp_path.glob('vis/*.jpg'))


# --------------------------------------------------------------------------------------------------- data and samplers


def wrapped(toy_root, kind):
    train = toy.dataset_config(toy_root)
    if kind == 'RepeatDataset':
        return dict(type=kind, times=2, dataset=train)
    if kind == 'ClassBalancedDataset':
        return dict(type=kind, oversample_thr=0.9, dataset=train)
    return dict(type=kind, datasets=[dict(train, indices=[0, 1, 2]), dict(train, indices=[3, 4, 5])])


@pytest.mark.parametrize('kind', ['RepeatDataset', 'ClassBalancedDataset', 'ConcatDataset'])
def test_wrappers_around_the_data_set_pass_pseudo_labels_on(toy_root, tmp_path, kind):
    config = training(toy_root, tmp_path, [('classification', 1), ('detection', 1)])
    config.train_dataloader.dataset = wrapped(toy_root, kind)
    if kind == 'ConcatDataset':
        config.label_dataloader.dataset = wrapped(toy_root, kind)
    check_training(config)
    runner = trained(config)
    assert all(part.store is not None for part in runner.train_dataloader.dataset.parts)


def test_a_wrapped_data_set_repeats_its_augmentation(toy_root):
    from mmlabelpenet.datasets.samplers import Draw

    dataset = DATASETS.build(wrapped(toy_root, 'RepeatDataset'))
    first, second, third = (dataset[Draw(7, seed)]['inputs'] for seed in (1, 1, 2))
    assert torch.equal(first, second) and not (first.shape == third.shape and torch.equal(first, third))


def test_equal_ids_in_the_label_pass_are_refused(toy_root, tmp_path):
    config = training(toy_root, tmp_path, [('classification', 1), ('detection', 1)])
    config.label_dataloader.dataset = wrapped(toy_root, 'RepeatDataset') | dict(dataset=toy.dataset_config(toy_root, train=False))
    with pytest.raises(ValueError, match='has 12 images with 6 ids.*join_voc.py'):
        trained(config)


def test_images_that_were_not_labelled_are_counted(toy_root, tmp_path):
    config = training(toy_root, tmp_path, [('classification', 1), ('detection', 1)])
    config.label_dataloader.dataset.indices = 4
    with pytest.raises(ValueError, match='2 training images have no pseudo labels.*same split and indices'):
        trained(config)


@pytest.mark.parametrize(
    ('key', 'value', 'said'),
    [('timeout', -1, 'timeout'), ('persistent_workers', True, 'persistent_workers'), ('dataset.indices', 2, '4 training images'),
     ('dataset.max_proposals', 0, 'max_proposals'), ('dataset.min_proposal_area', 2, 'min_proposal_area')],
)  # fmt: skip
def test_faults_of_the_label_data_appear_before_anything_is_trained(toy_root, tmp_path, key, value, said):
    config = training(toy_root, tmp_path, [('classification', 1), ('detection', 1)])
    config.merge_from_dict({f'label_dataloader.{key}': value})
    with pytest.raises(ValueError, match=said):
        trained(config)
    assert not list(tmp_path.rglob('*.pth'))


def test_filters_of_mmdet_are_taken_where_they_mean_the_same(toy_root):
    DATASETS.build(toy.dataset_config(toy_root, filter_cfg=dict(filter_empty_gt=True)))
    with pytest.raises(ValueError, match='filter_cfg.*Remove it'):
        DATASETS.build(toy.dataset_config(toy_root, filter_cfg=dict(filter_empty_gt=True, min_size=32)))


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(sampler=dict(type='InfiniteSampler')), "got InfiniteSampler: set train_dataloader.sampler=dict\\(type='ResumableSampler'\\)"),
        (dict(sampler=dict(type='DefaultSampler', shuffle=True)), 'got DefaultSampler'),
        (dict(batch_sampler=dict(type='mmdet.AspectRatioBatchSampler')), 'remove batch_sampler, AspectRatioBatchSampler'),
        (dict(dataset=dict(type='mmengine.RepeatDataset', times=2)), "does not support pseudo labels.*prefixes 'mmdet.' and 'mmengine.'"),
    ],
)
def test_loaders_that_cannot_be_drawn_from_are_refused_with_what_to_write(toy_root, tmp_path, change, said):
    config = training(toy_root, tmp_path, [('classification', 1)])
    inner = config.train_dataloader.dataset.to_dict()
    config.train_dataloader.update(copy.deepcopy(change))
    if 'dataset' in change:
        config.train_dataloader.dataset = dict(change['dataset'], dataset=inner)
    with pytest.raises(ValueError, match=said):
        trained(config)


def test_tags_of_one_class_are_refused_where_a_stage_would_learn_from_them(toy_root, tmp_path):
    config = training(toy_root, tmp_path, [('classification', 1)])
    names = [path.stem for path in (toy_root / 'JPEGImages').glob('*.jpg')]
    (tmp_path / 'tags.json').write_text(json.dumps({name: ['cat'] for name in names}))
    for loader in (config.train_dataloader, config.label_dataloader):
        loader.dataset.update(metainfo=dict(classes=('cat',)), tags=str(tmp_path / 'tags.json'))
    for stage in config.model.stages.values():
        for head in (stage.detector.roi_head.bbox_head, stage.detector.roi_head.get('mask_head', {})):
            head['num_classes'] = 1
    config.model.num_classes = 1
    with pytest.raises(ValueError, match="only one class, 'cat'.*Add images of other classes"):
        trained(config)


@pytest.mark.parametrize('setting', [dict(pseudo_labels='a.json'), dict(any_maker=True)])
def test_a_stage_that_learns_from_tags_takes_no_label_store(toy_root, tmp_path, setting):
    config = training(toy_root, tmp_path, [('classification', 1, setting)])
    (key,) = setting
    with pytest.raises(ValueError, match=f'classification learns from tags: remove {key} from train_cfg.phases.classification.'):
        toy.build_runner(config).train()


@pytest.mark.parametrize(
    ('phase', 'said'),
    [
        ('detection', "detection is the first stage, so no stage makes the labels .*phases.detection.pseudo_labels .*learns_from='tags'"),
        ('recurrent', 'detection is the first stage and does not learn from tags, .*directions=.*backward'),
    ],
)
def test_a_first_stage_that_learns_from_labels_needs_a_store_and_no_forward_direction(toy_root, tmp_path, phase, said):
    config = training(toy_root, tmp_path, [(phase, 1)])
    config.model.stages.classification = None
    with pytest.raises(ValueError, match=said):
        toy.build_runner(config).train()
    changes = dict(detection=dict(pseudo_labels='a.json'), recurrent=dict(directions=['backward']))[phase]
    check_stores(make_phases({phase: dict(iters=1, **changes)}, toy.STAGES[1:]), MODELS.build(config.model).stages)


def test_a_model_of_other_classes_than_the_data_is_refused(toy_root, tmp_path):
    config = training(toy_root, tmp_path, [('classification', 1)])
    config.model.num_classes = 7
    with pytest.raises(ValueError, match=r'7 classes, the training set 4.*model.num_classes=4'):
        trained(config)


# ---------------------------------------------------------------------------------------------------------- pipelines


def cropped(size, **kwargs):
    first, second, *_ = toy.pipelines()[0]
    annotations = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    crop = dict(type='RandomCrop', crop_size=size, allow_negative_crop=True, **kwargs)
    return [first, second, annotations, dict(type='ProposalBroadcaster', transforms=[crop]), dict(type='PackTagInputs', min_size=0)]


def test_a_random_crop_keeps_proposals_scores_labels_and_weights_together(toy_root):
    instances = [
        dict(bbox=[0, 0, 40, 40], bbox_label=0, ignore_flag=0, weight=0.25, mask=[[0, 0, 40, 0, 40, 40, 0, 40]]),
        dict(bbox=[toy.WIDTH - 30, toy.HEIGHT - 30, toy.WIDTH, toy.HEIGHT], bbox_label=1, ignore_flag=0, weight=0.75,
             mask=[[toy.WIDTH - 30, toy.HEIGHT - 30, toy.WIDTH, toy.HEIGHT - 30, toy.WIDTH, toy.HEIGHT]]),
    ]  # fmt: skip
    dataset = DATASETS.build(toy.dataset_config(toy_root, pipeline=cropped((48, 48))))
    steps = dataset.pipeline.transforms
    info, seen = dataset.get_data_info(0), set()
    for seed in range(30):
        np.random.seed(seed)
        results = copy.deepcopy(info) | dict(instances=copy.deepcopy(instances))
        for step in steps:
            results = step(results)
        sample = results['data_samples']
        assert results['inputs'].shape[1:] == (48, 48) and len(sample.proposals.bboxes) == len(sample.proposals.scores)
        assert (sample.proposals.bboxes >= 0).all() and (sample.proposals.bboxes <= 48).all()
        kept = sample.pseudo_instances
        assert kept.weights.tolist() == [dict(enumerate((0.25, 0.75)))[label] for label in kept.labels.tolist()]
        seen.add(tuple(kept.labels.tolist()))
    assert {(0,), (1,)} <= seen or len(seen) > 1


@pytest.mark.parametrize('name', ['Mosaic', 'MinIoURandomCrop', 'CopyPaste'])
def test_steps_that_tags_cannot_follow_are_refused_in_one_line(toy_root, name):
    pipeline = toy.pipelines()[0]
    pipeline.insert(3, dict(type=name))
    with pytest.raises(
        ValueError,
        match=f'{name} mixes images or transforms boxes in a way that does not support tags.*RandomCrop with allow_negative_crop=True',
    ):
        DATASETS.build(toy.dataset_config(toy_root, pipeline=pipeline))


def test_a_crop_that_would_fail_without_labels_is_refused():
    crop = dict(type='RandomCrop', crop_size=(8, 8))
    with pytest.raises(ValueError, match='set allow_negative_crop=True'):
        check_pipeline([dict(type='LoadProposals'), dict(type='ProposalBroadcaster', transforms=[crop])])


@pytest.mark.parametrize('loader', ['label_dataloader', 'train_dataloader'])
def test_a_crop_is_refused_where_labels_are_stored_in_original_pixels(toy_root, tmp_path, loader):
    config = training(toy_root, tmp_path, [('classification', 1), ('recurrent', 1)])
    config[loader].dataset.pipeline = cropped((48, 48))
    if loader == 'train_dataloader':
        check_training(config)
        config.model.refresh_interval = 2
    with pytest.raises(ValueError, match='RandomCrop moves boxes in a way that is not undone, but .*(label_dataloader|refresh_interval)'):
        check_training(config)


def test_boxes_that_move_without_their_proposals_are_refused():
    with pytest.raises(ValueError, match=r"RandomFlip transforms boxes, but not the proposals: use dict\(type='ProposalBroadcaster'"):
        check_pipeline([dict(type='LoadImageFromFile'), dict(type='LoadProposals'), dict(type='mmdet.RandomFlip', prob=0.5)])
    with pytest.raises(ValueError, match='The pipeline is empty'):
        check_pipeline([])
    check_pipeline([dict(type='LoadImageFromFile'), dict(type='Resize', scale=(8, 8)), dict(type='PackTagInputs')])  # without proposals


@pytest.mark.parametrize(
    ('step', 'said'),
    [
        (dict(type='Normalize', mean=[0, 0, 0], std=[1, 1, 1]), 'Normalize would be applied twice: remove it'),
        (dict(type='Pad', size_divisor=32), 'Pad would make masks of the padded image: remove it, model.data_preprocessor pads'),
        (dict(type='PackDetInputs'), r"PackDetInputs drops tags.*use dict\(type='PackTagInputs'\)"),
        (
            dict(type='Albu', transforms=[dict(type='HorizontalFlip')]),
            'Albu mixes images or transforms boxes in a way that does not support tags',
        ),
        (
            dict(type='TestTimeAug', transforms=[[dict(type='RandomFlip', prob=1.0)], [dict(type='PackDetInputs')]]),
            'TestTimeAug transforms boxes, but not the proposals. Test with python tools/test.py CONFIG CHECKPOINT --tta',
        ),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else '',
)
def test_steps_of_detection_with_boxes_name_what_to_write_instead(step, said):
    with pytest.raises(ValueError, match=said):
        check_pipeline([dict(type='LoadImageFromFile'), dict(type='LoadProposals'), step])


def test_proposals_that_are_moved_must_have_been_loaded():
    with pytest.raises(ValueError, match=r"none are loaded: put dict\(type='LoadProposals'\) before it"):
        check_pipeline([dict(type='LoadImageFromFile'), dict(type='ProposalBroadcaster', transforms=[dict(type='Resize', scale=(8, 8))])])


def test_keys_of_other_data_sets_are_refused(toy_root):
    for given in (dict(ann_file='train.json'), dict(data_prefix=dict(img='train'))):
        with pytest.raises(ValueError, match="split='train'.*remove ann_file and data_prefix"):
            DATASETS.build(toy.dataset_config(toy_root, **given))


def test_a_failing_step_is_not_taken_for_an_unreadable_image(toy_root):
    def fail(results):
        raise cv2.error('dst is incompatible')

    dataset = DATASETS.build(toy.dataset_config(toy_root, max_bad_images=9))
    dataset.pipeline.transforms.insert(1, fail)
    with pytest.raises(cv2.error, match='incompatible'):
        dataset[0]


# ---------------------------------------------------------------------------------------------- schedules and resuming


@pytest.mark.parametrize('schedule', [dict(), dict(by_epoch=True)])
def test_schedules_by_epoch_are_refused(toy_root, tmp_path, schedule):
    config = training(toy_root, tmp_path, [('classification', 1)])
    config.param_scheduler = [dict(type='MultiStepLR', milestones=[8, 11], **schedule)]
    with pytest.raises(ValueError, match='MultiStepLR in param_scheduler counts epochs.*by_epoch=False'):
        trained(config)


@pytest.mark.parametrize(
    ('key', 'part'),
    [
        ('default_hooks.checkpoint', dict(type='CheckpointHook', interval=1)),
        ('default_hooks.checkpoint', dict(type='AtomicCheckpointHook', by_epoch=True)),
        ('log_processor', dict(type='LogProcessor', by_epoch=True)),
    ],
)
def test_checkpoints_and_logs_by_epoch_are_refused(toy_root, tmp_path, key, part):
    config = training(toy_root, tmp_path, [('classification', 1)])
    config.merge_from_dict({key: dict(part, _delete_=True)})
    with pytest.raises(ValueError, match=f'{part["type"]} counts epochs.*set {key}.by_epoch=False'):
        trained(config)


def test_loops_of_mmdet_name_the_one_that_trains_stages(toy_root, tmp_path):
    config = training(toy_root, tmp_path)
    config.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    with pytest.raises(ValueError, match=r"dict\(type='LabelPropagationLoop', phases=dict\(classification=dict\(iters="):
        trained(config)


@pytest.mark.skipif(torch.cuda.is_available(), reason='it runs there')
def test_mixed_precision_for_gpus_is_refused_on_the_cpu_with_what_runs_there(toy_root, tmp_path):
    config = training(toy_root, tmp_path)
    config.optim_wrapper.type = 'AmpOptimWrapper'
    with pytest.raises(ValueError, match="AmpOptimWrapper runs on GPUs only: train with --amp, or .*'MixedPrecisionWrapper'"):
        check_training(config)


def test_the_length_of_a_training_is_that_of_its_phases(toy_root, tmp_path):
    config = training(toy_root, tmp_path, [('classification', 1)])
    config.train_cfg.max_iters = 9
    with pytest.raises(ValueError, match=r'set train_cfg.phases.<name>.iters instead of max_iters'):
        trained(config)


def test_a_checkpoint_is_resumed_only_where_it_would_go_on_in_the_same_phase():
    then = dict(classification=4, detection=4)
    phases = lambda *lengths: [Phase(name, iters) for name, iters in zip(then, lengths, strict=True)]  # noqa: E731
    check_place(phases(4, 4), then, 6)
    check_place(phases(4, 9), then, 8)  # a finished run goes on
    check_place(phases(6, 4), then, 3)  # the phase that is under way may grow
    for lengths in ((2, 4), (6, 4)):
        with pytest.raises(ValueError, match='detection would start at another iteration.*train_cfg.phases'):
            check_place(phases(*lengths), then, 6)


def test_resuming_a_finished_run_says_that_nothing_is_left(toy_root, tmp_path, caplog):
    config = training(toy_root, tmp_path, [('classification', 2)], stages=('classification',))
    trained(config)
    config.resume, config.log_level, config.experiment_name = True, 'INFO', 'toy_again'
    runner = trained(config)
    assert (
        runner.iter == 2
        and 'Nothing left to train: 2 of 2 iterations are done' in (Path(runner.log_dir) / f'{runner.timestamp}.log').read_text()
    )


# ------------------------------------------------------------------------------------------------------------- imports


def test_parts_are_found_where_mmdet_has_them():
    from mmlabelpenet.datasets import ConcatDataset, VOCTags
    from mmlabelpenet.evaluation import StageMetric
    from mmlabelpenet.utils import register_all_modules

    register_all_modules()
    assert {VOCTags.__name__, ConcatDataset.__name__, StageMetric.__name__} == {'VOCTags', 'ConcatDataset', 'StageMetric'}
    with pytest.raises(ImportError):
        from mmlabelpenet.datasets import VOCTag  # noqa: F401


# ------------------------------------------------------------------------------------------------------ analysis tools


def test_the_confusion_matrix_is_drawn_from_dumped_predictions(model, toy_root, tmp_path, load_tool, capsys):
    import json

    tool = load_tool('analysis_tools/confusion_matrix.py')
    annotated = [(name, box, label) for name in ('test_00000', 'test_00001') for box, label in objects_of(toy_root, name)]
    entries = [
        dict(image_id=name, category_name=CLASSES[label], bbox=[x1, y1, x2 - x1, y2 - y1], score=0.9)
        for name, (x1, y1, x2, y2), label in annotated
    ]
    (tmp_path / 'preds.json').write_text(json.dumps(entries))
    tool.main([str(model[0]), str(tmp_path / 'preds.json'), '--out', str(tmp_path / 'a.png')])
    assert f'{len(entries)} of {len(entries)} objects' in capsys.readouterr().out and (tmp_path / 'a.png').is_file()
    with pytest.raises(ValueError, match='can execute code.*--dump preds.json'):
        tool.main([str(model[0]), str(tmp_path / 'preds.pkl')])
    with pytest.raises(FileNotFoundError, match='Expected COCO-format results in .*none.json'):
        tool.main([str(model[0]), str(tmp_path / 'none.json')])
    with pytest.raises(ValueError, match='file with a name ending in .*.doc'):
        tool.main([str(model[0]), str(tmp_path / 'preds.json'), '--out', str(tmp_path / 'a.doc')])


def objects_of(toy_root, name):
    from mmlabelpenet.evaluation.devkit import open_devkit

    objects = open_devkit(toy_root, CLASSES).objects(name)
    return list(zip(objects.bboxes.tolist(), objects.labels.tolist(), strict=True))


def test_training_images_are_drawn_after_augmentation(toy_root, tmp_path, load_tool):
    config = training(toy_root, tmp_path)
    config.dump(tmp_path / 'config.py')
    load_tool('analysis_tools/browse_dataset.py').main(
        [str(tmp_path / 'config.py'), '--output-dir', str(tmp_path / 'drawn'), '--images', '2']
    )
    assert len(list((tmp_path / 'drawn').glob('*.jpg'))) == 2


def test_a_drawing_takes_the_place_of_no_photo(toy_root, tmp_path, load_tool):
    training(toy_root, tmp_path).dump(tmp_path / 'config.py')
    photos = shutil.copytree(toy_root / 'JPEGImages', tmp_path / 'photos')
    before = {path: path.read_bytes() for path in photos.iterdir()}
    with pytest.raises(FileExistsError, match='was not written by an earlier run.*so it is not replaced'):
        load_tool('analysis_tools/browse_dataset.py').main([str(tmp_path / 'config.py'), '--output-dir', str(photos), '--images', '2'])
    assert {path: path.read_bytes() for path in photos.iterdir()} == before


def test_the_arithmetic_of_each_stage_is_counted(model, load_tool, capsys):
    load_tool('analysis_tools/get_flops.py').main([str(model[0]), '--size', '64', '96', '--proposals', '20'])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for name, *_ in rows[1:]] == ['backbone', *toy.STAGES] and all(float(flops) >= 0 for _, flops, _ in rows[1:])


def test_logs_are_drawn_and_timed_by_the_words_of_mmdet(toy_root, tmp_path, load_tool, capsys):
    config = training(toy_root, tmp_path, [('classification', 1), ('detection', 1)])
    config.default_hooks.logger = dict(type='LoggerHook', interval=1)
    config.visualizer = dict(type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
    trained(config)
    tool, (log,) = load_tool('analysis_tools/analyze_logs.py'), tmp_path.glob('*/vis_data/scalars.json')
    tool.main(['plot_curve', str(log), '--keys', 'loss_cls', '--out', str(tmp_path / 'a.svg')])
    tool.main(['cal_train_time', str(tmp_path)])
    assert (tmp_path / 'a.svg').is_file() and 'detection: ' in capsys.readouterr().out


# ------------------------------------------------------------------------------------------- weighted parts by themselves


def weighted_mask_rcnn():
    """The example of the page, small and untrained."""
    detector = toy.stage_config('refinement')
    detector['backbone'] = dict(type='mmdet.ResNet', depth=18, num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,), norm_eval=True)
    detector['rpn_head'].update(in_channels=64, anchor_generator=dict(type='AnchorGenerator', scales=[4, 8], ratios=[1.0], strides=[4]))
    for name, size in dict(bbox_roi_extractor=4, mask_roi_extractor=7).items():
        detector['roi_head'][name] = toy.extractor(size) | dict(out_channels=64, featmap_strides=[4])
    detector['roi_head']['bbox_head']['in_channels'] = detector['roi_head']['mask_head']['in_channels'] = 64
    for name in ('bbox_head', 'mask_head'):
        detector['roi_head'][name]['num_classes'] = 2
    return detector


@pytest.fixture
def coco(tmp_path):
    """One image with three annotations, one of them without a weight."""
    import json

    cv2.imwrite(str(tmp_path / 'a.png'), np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8))
    boxes = [[4, 4, 20, 20], [40, 10, 30, 40], [5, 30, 20, 25]]
    square = lambda x, y, w, h: [[x, y, x + w, y, x + w, y + h, x, y + h]]  # noqa: E731
    notes = [
        dict(id=number, image_id=1, category_id=1 + number % 2, bbox=box, area=box[2] * box[3], iscrowd=0, segmentation=square(*box))
        for number, box in enumerate(boxes)
    ]
    notes[0]['weight'], notes[1]['weight'] = 0.25, 0.5
    categories = [dict(id=1, name='cat'), dict(id=2, name='dog')]
    content = dict(images=[dict(id=1, file_name='a.png', height=64, width=96)], annotations=notes, categories=categories)
    (tmp_path / 'train.json').write_text(json.dumps(content))
    return tmp_path


def weighted_sample(folder, load='LoadAnnotations', **changes):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type=load, with_bbox=True, with_mask=True, poly2mask=True),
        dict(type='RandomFlip', prob=1.0),
        dict(type='PackWeightedInputs'),
    ]
    places = dict(data_root=str(folder), ann_file='train.json', data_prefix=dict(img=''), metainfo=dict(classes=('cat', 'dog')))
    return DATASETS.build(dict(type='WeightedCocoDataset', pipeline=pipeline, **places, **changes))[0]


def test_weights_of_a_coco_file_reach_the_losses_of_a_plain_mask_rcnn(coco):
    sample = weighted_sample(coco)
    assert sample['data_samples'].gt_instances.weights.tolist() == [0.25, 0.5, 1.0]
    detector, losses = toy.build(weighted_mask_rcnn()), []
    for factor in (1.0, 0.5):
        data = copy.deepcopy(sample['data_samples'])
        data.gt_instances.weights *= factor
        data.gt_instances.bboxes = data.gt_instances.bboxes.tensor  # as mmdet's preprocessor does
        data.set_metainfo(dict(batch_input_shape=(64, 96), pad_shape=(64, 96)))
        torch.manual_seed(0)
        losses.append(detector.loss(sample['inputs'][None].float() / 255, [data]))
    for name in ('loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'):
        full, half = (torch.stack(each[name]).sum() if isinstance(each[name], list) else each[name] for each in losses)
        torch.testing.assert_close(half, full / 2, rtol=1e-3, atol=1e-6)


def test_wrong_parts_beside_weighted_heads_are_refused_in_one_line(coco):
    with pytest.raises(ValueError, match=r"type='mmlabelpenet.LoadAnnotations'"):
        weighted_sample(coco, 'mmdet.LoadAnnotations')
    config = weighted_mask_rcnn()
    config['rpn_head']['loss_cls'] = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
    with pytest.raises(ValueError, match='ObjectnessLoss.*got CrossEntropyLoss'):
        toy.build(config)
    config = weighted_mask_rcnn()
    config['train_cfg']['rpn']['sampler']['type'] = 'mmdet.RandomSampler'
    sample = weighted_sample(coco)
    sample['data_samples'].set_metainfo(dict(batch_input_shape=(64, 96), pad_shape=(64, 96)))
    with pytest.raises(ValueError, match='WeightedRandomSampler.*train_cfg.rpn and train_cfg.rcnn'):
        toy.build(config).loss(sample['inputs'][None].float() / 255, [sample['data_samples']])


def test_configs_and_models_are_built_by_the_name_of_the_package():
    from mmengine.hub import get_config, get_model
    from mmengine.utils import get_installed_path

    if not Path(get_installed_path('mmlabelpenet')).is_dir():
        pytest.skip('mmengine 0.10.7 does not find packages that are installed in editable mode')
    name = 'mmlabelpenet::labelpenet/labelpenet_lite0_rendered.py'
    assert get_config(name).model.num_classes == 4
    assert type(get_model(name)).__name__ == 'LabelPENet'


def test_a_retrained_model_without_its_labels_names_the_command_that_exports_them():
    from mmlabelpenet.apis import load_config

    config = load_config('mmlabelpenet::retrain/mask-rcnn_r50-dilated_voc07.py')
    config.work_dir = 'out'
    with pytest.raises(FileNotFoundError, match=r'data/retrain/voc07[\s\S]*export_pseudo_labels.py'):
        check_training(config)


@pytest.mark.parametrize('kind', ['mmdet.CocoMetric', 'VOCMetric'])
def test_validation_refuses_metrics_that_read_the_ground_truth_of_samples(toy_root, tmp_path, kind):
    config = validated(training(toy_root, tmp_path), toy_root)
    config.val_evaluator = dict(type=kind)
    with pytest.raises(ValueError, match=f'val_evaluator: {kind.rpartition(".")[2]} reads ground truth'):
        check_training(config)


def test_training_may_be_validated_under_exponential_moving_averages(toy_root, tmp_path):
    config = validated(training(toy_root, tmp_path, [('classification', 2)]), toy_root, 2)
    config.custom_hooks = [dict(type='EMAHook')]
    trained(config)
    assert 'ema_state_dict' in torch.load(tmp_path / 'iter_2.pth', weights_only=False)


# ------------------------------------------------------------------------------------------- parts that tags cannot follow


@pytest.mark.parametrize(
    ('hook', 'said'),
    [
        (dict(type='PipelineSwitchHook', switch_epoch=1, switch_pipeline=[]), 'PipelineSwitchHook counts epochs.*remove it'),
        (dict(type='YOLOXModeSwitchHook', num_last_epochs=1), 'YOLOXModeSwitchHook counts epochs.*remove it'),
        (dict(type='EMAHook', begin_epoch=1), 'EMAHook counts epochs.*begin_iter'),
        (dict(type='ProfilerHook', by_epoch=True, profile_times=1), 'ProfilerHook counts epochs.*by_epoch=False'),
        (dict(type='MeanTeacherHook'), 'semi-supervised detector: use EMAHook'),
    ],
)
def test_hooks_that_would_never_act_are_refused(toy_root, tmp_path, hook, said):
    config = training(toy_root, tmp_path)
    config.custom_hooks = [hook]
    with pytest.raises(ValueError, match=said):
        trained(config)


@pytest.mark.parametrize('by_epoch', [True, False])
def test_rates_that_fall_on_a_plateau_are_refused_with_what_to_write(toy_root, tmp_path, by_epoch):
    config = training(toy_root, tmp_path)
    config.param_scheduler = [dict(type='ReduceOnPlateauLR', monitor='loss', by_epoch=by_epoch)]
    with pytest.raises(ValueError, match='ReduceOnPlateauLR counts epochs.*lr and milestones'):
        trained(config)


@pytest.mark.parametrize(
    ('key', 'value', 'said'),
    [
        ('type', 'DetDataPreprocessor', "DetDataPreprocessor does not support tags: use .*'InvertibleDataPreprocessor'"),
        ('batch_augments', [dict(type='BatchSyncRandomResize', random_size_range=(64, 96))], 'BatchSyncRandomResize changes boxes'),
        (
            'batch_augments',
            [dict(type='BatchFixedSizePad', size=(160, 160), pad_mask=True)],
            'BatchFixedSizePad changes .* without pad_mask',
        ),
    ],
)
def test_preprocessors_that_lose_tags_or_proposals_are_refused(key, value, said):
    config = toy.model_config()
    config['data_preprocessor'][key] = value
    with pytest.raises(ValueError, match=said):
        toy.build(config)


def test_a_batch_may_be_padded_to_one_size(toy_root, tmp_path):
    config = training(toy_root, tmp_path)
    config.model.data_preprocessor.batch_augments = [dict(type='BatchFixedSizePad', size=(160, 160))]
    assert trained(config).iter == 4


@pytest.mark.parametrize('kind', ['GIoULoss', 'IoULoss', 'CIoULoss'])
def test_losses_that_compare_boxes_are_refused_where_a_head_regresses_offsets(kind):
    config = toy.model_config(stages=('classification', 'detection'))
    detector = config['stages']['detection']['detector']
    for head in (detector['roi_head']['bbox_head'], detector['rpn_head']):
        head['loss_bbox'] = dict(type=kind)
        with pytest.raises(ValueError, match=f'{kind} compares boxes.*set reg_decoded_bbox=True'):
            toy.build(config)
        head['reg_decoded_bbox'] = True
    toy.build(config)


def test_a_classification_loss_of_two_parts_is_refused():
    config = toy.model_config(stages=('classification', 'detection'))
    config['stages']['detection']['detector']['roi_head']['bbox_head']['loss_cls'] = dict(type='SeesawLoss', num_classes=4)
    with pytest.raises(ValueError, match='SeesawLoss returns two losses.*CrossEntropyLoss or FocalLoss'):
        toy.build(config)


def test_losses_of_decoded_boxes_follow_the_weights(toy_root, tmp_path):
    config = training(toy_root, tmp_path)
    head = config.model.stages.detection.detector.roi_head.bbox_head
    head.reg_decoded_bbox, head.loss_bbox, head.loss_cls = True, dict(type='GIoULoss', loss_weight=10.0), dict(type='FocalLoss')
    assert trained(config).iter == 4


@pytest.mark.parametrize(
    ('pipeline', 'said'),
    [
        ([dict(type='LoadImageFromFile')], "packs nothing: end it with dict.type='PackTagInputs'"),
        ([dict(type='RandomChoiceResize', scales=[[8, 8]])], r'takes tuples, which JSON cannot express: write scales=\[\(width, height\)'),
        ([dict(type='RandomChoiceResize', scales=5)], r'write scales=\[\(width, height\), ...\], got scales=5'),
        ([dict(type='LoadProposals'), dict(type='ProposalBroadcaster', transforms=5)], 'transforms must be a list of steps, got 5'),
    ],
)
def test_pipelines_that_make_no_sample_are_refused(pipeline, said):
    with pytest.raises(ValueError, match=said):
        check_pipeline(pipeline)


def test_names_of_classes_in_capitals_are_refused(toy_root):
    with pytest.raises(ValueError, match='metainfo.CLASSES is not supported: use metainfo.classes.'):
        DATASETS.build(toy.dataset_config(toy_root, metainfo=dict(CLASSES=('cone',))))


@pytest.mark.parametrize('missing', ['val_dataloader', 'val_evaluator', 'val_cfg'])
def test_a_validation_without_one_of_its_parts_is_refused_in_one_line(toy_root, tmp_path, missing):
    config = validated(training(toy_root, tmp_path), toy_root)
    config[missing] = None
    with pytest.raises(ValueError, match='set all of val_dataloader, val_evaluator, val_cfg .* or none'):
        check_training(config)


def test_parts_of_training_and_testing_are_complete_or_absent(model, toy_root, tmp_path):
    config = training(toy_root, tmp_path)
    config.test_dataloader = dict(dataset=toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True))
    with pytest.raises(ValueError, match='has only test_dataloader: set all of test_dataloader, test_evaluator, test_cfg .* or none'):
        check_training(config)
    config = Config.fromfile(model[0])
    config.train_cfg = None
    with pytest.raises(ValueError, match='has only train_dataloader and optim_wrapper: set all of'):
        run_test(config, model[1])


@pytest.mark.parametrize('name', ['.', 'last_checkpoint'])
def test_a_folder_in_place_of_a_checkpoint_names_the_last_one_in_it(tmp_path, name):
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_4.pth')
    with pytest.raises(FileNotFoundError, match='is not a checkpoint. Name one in .*, the last is .*iter_4.pth'):
        read_checkpoint(tmp_path / name)
