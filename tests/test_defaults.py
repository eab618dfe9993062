"""Default values are the same in every version. Those that are choices are also compared with docs/choices.md."""

import inspect
from importlib import import_module

import pytest

DEFAULTS = {
    'calibration.attention': dict(class_attention=dict(peak=1.0)),
    'calibration.backward': dict(DetectionLabels=dict(min_score=0.3)),
    'calibration.cache': dict(LabelCache=dict(refresh_interval=1)),
    'calibration.crf': dict(
        DenseCRF=dict(
            bilateral_xy=80, bilateral_rgb=13, bilateral_compat=10, gaussian_xy=3, gaussian_compat=3, iterations=10, max_size=500,
            confidence=0.99,
        ),
    ),
    'calibration.generators': dict(
        AttentionGenerator=dict(nms_thr=0.3, max_candidates=300, min_score=0.3, max_overlap=1.0, min_iou=0.1, peak=1.0),
    ),
    'calibration.objects': dict(
        find_objects=dict(nms_thr=0.3, max_candidates=300, min_score=0.3, max_overlap=1.0),
        mask_bbox=dict(min_iou=0.1), window=dict(margin=0.0), inside_box=dict(margin=0.0),
    ),
    'datasets.coco': {'COCOImages.tags': dict(use_difficult=False)},
    'datasets.image_set': {'ImageSet.tags': dict(use_difficult=False)},
    'datasets.label_writer': dict(PseudoLabelWriter=dict(rank=0), _read_part=dict(compared=False)),
    'datasets.samplers': dict(ResumableSampler=dict(batch_size=1)),
    'datasets.transforms': dict(PackTagInputs=dict(min_size=1.0)),
    'datasets.voc': {'VOCImages.tags': dict(use_difficult=False)},
    'datasets.voc_tags': dict(
        VOCTags=dict(use_difficult_tags=False, min_proposal_area=0.0, keep_untagged=False, max_bad_images=0, tags='lists'),
    ),
    'engine.hooks.atomic_checkpoint': {
        'AtomicCheckpointHook': dict(minutes=10, max_keep_ckpts=2, by_epoch=False),
        'AtomicCheckpointHook.every_n_train_iters': dict(start=0),
    },
    'engine.phases': dict(Phase=dict(gamma=0.1, warmup=0, alternate=False, any_maker=False, warm_start=False)),
    'engine.precision': dict(MixedPrecisionWrapper=dict(dtype='bf16')),
    'evaluation.average_precision': dict(box_average_precisions=dict(iou_thrs=(0.5,), legacy=False)),
    'evaluation.confusion': dict(confusion=dict(score_thr=0.3, iou_thr=0.5)),
    'evaluation.dump': {'Dump': dict(rank=0), 'Dump.finish': dict(num_ranks=1)},
    'evaluation.localisation': dict(corloc_counts=dict(iou_thr=0.5, skip_difficult_only=False), proposal_quality=dict(iou_thrs=(0.5, 0.7))),
    'evaluation.metrics': dict(
        StageMetric=dict(box_iou_thrs=(0.5,), mask_iou_thrs=(0.25, 0.5, 0.7, 0.75), semantic_score_thr=0.3, legacy=False),
    ),
    'evaluation.overlaps': dict(paired_box_iou=dict(legacy=False), box_iou=dict(legacy=False), best_overlaps=dict(legacy=False)),
    'evaluation.pseudo_quality': dict(pseudo_label_quality=dict(iou_thr=0.5)),
    'evaluation.scoring': dict(
        Settings=dict(box_iou_thrs=(0.5,), mask_iou_thrs=(0.25, 0.5, 0.7, 0.75), semantic_score_thr=0.3, legacy=False),
    ),
    'evaluation.semantic': dict(semantic_map=dict(score_thr=0.3)),
    'evaluation.table': dict(text_table=dict(digits=1), markdown_table=dict(digits=1)),
    'formats.file_names': dict(below=dict(links=True)),
    'formats.image_names': dict(find_images=dict(links=True)),
    'formats.images': dict(read_rgb=dict(max_side=0)),
    'formats.tag_files': dict(tags_from_lists=dict(use_difficult=False), tags_from_xml=dict(use_difficult=False)),
    'models.aspp': dict(LabelPEASPP=dict(channels=256, out_channels=256, dilations=(1, 2, 4, 6))),
    'models.backbones.tail': {'Tail.complete': dict(frozen=False)},
    'models.backbones.vgg': dict(VGG16C4=dict(frozen_stages=0), VGG16Tail=dict(pool4_stride=1, dilation=2, with_pool4=False)),
    'models.data_preprocessor': {
        'InvertibleDataPreprocessor': dict(bgr_to_rgb=False), 'InvertibleDataPreprocessor.forward': dict(training=False),
    },
    'models.feature_cache': {'FeatureCache': dict(max_gib=20.0), 'FeatureCache.shared': dict(store=True)},
    'models.inference.image': {
        'Inference': dict(with_masks=True, image_evidence=False),
        'Inference.__call__': dict(rescale=True, explain=False),
    },
    'models.inference.masks': dict(MaskRefinement=dict(max_masks=20, min_score=0.0, margin=0.25)),
    'models.inference.views': dict(read_views=dict(record=False)),
    'models.label_penet': {
        'LabelPENet': dict(frozen_backbone=False, share_tail=False, refresh_interval=1, consensus=False, map_evidence=False),
        'LabelPENet.views': dict(store=True), 'LabelPENet.predict': dict(rescale=True),
    },
    'models.mil_head': {
        'MILBBoxHead': dict(roi_feat_size=7, fc_channels=(4096, 4096), dropout=0.0),
        'MILRoIHead': dict(beta=0.5, single_label_weight=1.0), 'MILRoIHead.predict_bbox': dict(rescale=False),
    },
    'models.mil_losses': dict(MILSoftmaxLoss=dict(loss_weight=1.0), single_labels=dict(beta=0.5)),
    'models.weighted_heads': {
        'ObjectnessLoss': dict(loss_weight=1.0, use_sigmoid=True), 'WeightedRPNHead.get_targets': dict(return_sampling_results=False),
        'WeightedBBoxHead.get_targets': dict(concat=True),
    },
    'ops.roi_pool': dict(RoIPool=dict(spatial_scale=1.0)),
    'ops.roi_products': dict(bin_weights=dict(aligned=False)),
    'ops.selective_search': dict(SelectiveSearchSettings=dict(mode='fast', min_size=20, max_proposals=0), shrunk_search=dict(max_side=0)),
    'ops.sparse': {'SparseMatrix.in_runs': dict(longest=64)},
    'schema': dict(short=dict(limit=60)),
    'timing': {'Stopwatch.start': dict(synchronize=False)},
    'utils': dict(register_all_modules=dict(init_default_scope=True)),
    'workers': dict(Workers=dict(processes=0)),
}  # fmt: skip


@pytest.mark.parametrize('module', DEFAULTS)
def test_arguments_that_are_left_out_have_the_values_that_configs_and_callers_rely_on(module):
    for path, expected in DEFAULTS[module].items():
        made = import_module(f'mmlabelpenet.{module}')
        for name in path.split('.'):
            made = getattr(made, name)
        parameters = inspect.signature(made).parameters
        found = {name: parameters[name].default for name in expected}
        assert found == expected and [*map(type, found.values())] == [*map(type, expected.values())], path
