"""The minimum and maximum of an option are accepted, and values beyond are rejected with one line that names it."""

import math

import numpy as np
import pytest
import toy

from mmlabelpenet.calibration import MaskAggregation, ProposalCalibration
from mmlabelpenet.calibration.backward import DetectionLabels
from mmlabelpenet.calibration.cache import LabelCache
from mmlabelpenet.calibration.crf import DenseCRF
from mmlabelpenet.datasets.label_schema import LineInstance, Side, Weight
from mmlabelpenet.datasets.transforms import PackTagInputs
from mmlabelpenet.datasets.voc_tags import VOCTags
from mmlabelpenet.engine.hooks.atomic_checkpoint import AtomicCheckpointHook
from mmlabelpenet.engine.phases import Phase
from mmlabelpenet.evaluation.scoring import Settings
from mmlabelpenet.models.backbones import VGG16C4
from mmlabelpenet.models.feature_cache import FeatureCache
from mmlabelpenet.models.inference.masks import MaskRefinement
from mmlabelpenet.ops.selective_search import SelectiveSearchSettings, thin_proposals
from mmlabelpenet.registry import MODELS
from mmlabelpenet.schema import Size, convert
from mmlabelpenet.workbench.report.label_samples_hook import LabelSamplesHook
from mmlabelpenet.workbench.report.sample_panels_hook import SamplePanels
from mmlabelpenet.workbench.variants.online_refinement import PCLBranches
from mmlabelpenet.workbench.variants.superpixel_cut import SuperpixelCut


def roi_head(**option):
    return MODELS.build(dict(toy.stage_config('classification')['roi_head'], **option))


def pcl(**option):
    return PCLBranches(in_channels=4, num_classes=2, **option)


def images(**option):
    return VOCTags('unused', 'unused', pipeline=toy.pipelines()[0], lazy_init=True, **option)


def instance(label):
    return dict(bbox=[0, 0, 1, 1], label=label, weight=1, rle=dict(size=[1, 1], counts='01'))


RANGES = {  # what makes it, what it takes, what it refuses, and what the refusal says
    'peak': (lambda v: MaskAggregation(peak=v), [1e-6, 1.0], [0, 1.001], 'peak'),
    'refresh_interval': (LabelCache, [1], [0], 'refresh_interval'),
    'minutes': (lambda v: AtomicCheckpointHook(minutes=v), [None, 0.1], [0, -1], 'minutes'),
    'max_keep_ckpts': (lambda v: AtomicCheckpointHook(max_keep_ckpts=v), [-1, 2], [0, 1], 'at least two checkpoints'),
    'iters': (lambda v: Phase('detection', v), [1], [0], 'at least one iteration'),
    'milestones': (lambda v: Phase('detection', 9, milestones=[v]), [1e-6, 0.999, 1, 2], [0, -1, 1.5], 'milestones'),
    'iou_thrs': (lambda v: Settings(1, mask_iou_thrs=(0.5, v)), [1e-6, 1], [0, 1.001], 'IoU thresholds'),
    'frozen_stages': (VGG16C4, [0, 4], [-1, 5], 'frozen_stages'),
    'max_gib': (lambda v: FeatureCache('unused', v), [0], [-0.1, True], 'max_gib'),  # True is not a number
    'chunk': (lambda v: roi_head(chunk=v), [None, 1], [0, True], 'chunk'),
    'min_size': (lambda v: SelectiveSearchSettings(min_size=v), [1], [0], 'min_size'),
    'max_proposals': (lambda v: SelectiveSearchSettings(max_proposals=v), [0], [-1], 'max_proposals'),
    'weight': (lambda v: convert(v, Weight, 'malformed'), [1e-6, 1], [0, 1.001], 'malformed'),
    'side': (lambda v: convert(v, Side, 'malformed'), [0, 1_000_000], [-1, 1_000_001], 'malformed'),
    'size': (lambda v: convert(v, Size, 'malformed'), [1, 1_000_000], [0, 1_000_001], 'malformed'),
    'label': (lambda v: convert(instance(v), LineInstance, 'malformed'), [0], [-1], 'malformed'),
    'max_proposals of images': (lambda v: images(max_proposals=v), [None, 1], [0], 'max_proposals must be at least 1'),
    'min_proposal_area': (lambda v: images(min_proposal_area=v), [0, 1], [-0.1, 1.1], 'min_proposal_area in '),
    'max_bad_images': (lambda v: images(max_bad_images=v), [0], [-1], 'max_bad_images at least 0'),
    'filter_cfg': (lambda v: images(filter_cfg=v), [None, {}, dict(filter_empty_gt=True)], [dict(filter_empty_gt=False)], 'filter_cfg'),
    'ann_file': (lambda v: images(ann_file=v), [''], ['a.txt'], 'ann_file'),
    'data_prefix': (lambda v: images(data_prefix=v), [{}], [dict(img_path='a')], 'data_prefix'),
    'nms_thr': (lambda v: MaskAggregation(nms_thr=v), [0, 1], [-0.1, 30, math.nan, '0.3'], 'nms_thr'),
    'max_overlap': (lambda v: MaskAggregation(max_overlap=v), [0, 1], [-0.1, 1.1], 'max_overlap'),
    'min_iou': (lambda v: MaskAggregation(min_iou=v), [0, 1.1], [-0.1], 'min_iou'),
    'max_per_tag': (lambda v: MaskAggregation(max_per_tag=v), [None, 1], [0], 'max_per_tag'),
    'max_candidates': (lambda v: MaskAggregation(max_candidates=v), [1], [0], 'max_candidates'),
    'min_score of labels': (lambda v: MaskAggregation(min_score=v), [0, 1], [-0.1, 50], 'min_score'),
    'min_score of validation': (DetectionLabels, [0, 1], [-0.1, 50], 'min_score'),
    'min_score of masks': (lambda v: MaskRefinement(min_score=v), [0, 1], [-0.1, 50], 'min_score'),
    'max_masks': (lambda v: MaskRefinement(max_masks=v), [0], [-1], 'max_masks'),
    'margin of masks': (lambda v: MaskRefinement(margin=v), [0], [-0.1], 'margin'),
    'bilateral_xy': (lambda v: DenseCRF(bilateral_xy=v), [1e-3], [0], 'bilateral_xy'),
    'bilateral_rgb': (lambda v: DenseCRF(bilateral_rgb=v), [1e-3], [0], 'bilateral_rgb'),
    'gaussian_xy': (lambda v: DenseCRF(gaussian_xy=v), [1e-3], [0], 'gaussian_xy'),
    'bilateral_compat': (lambda v: DenseCRF(bilateral_compat=v), [0], [-1], 'bilateral_compat'),
    'gaussian_compat': (lambda v: DenseCRF(gaussian_compat=v), [0], [-1], 'gaussian_compat'),
    'iterations of the CRF': (lambda v: DenseCRF(iterations=v), [0], [-1], 'iterations'),
    'max_size of the CRF': (lambda v: DenseCRF(max_size=v), [None, 1], [0], 'max_size'),
    'confidence': (lambda v: DenseCRF(confidence=v), [0.5, 0.999], [0.49, 1], 'confidence'),
    'size of superpixels': (lambda v: SuperpixelCut(size=v), [1], [0, 2.5], 'size'),
    'max_size of cuts': (lambda v: SuperpixelCut(max_size=v), [None, 1], [0, -5], 'max_size'),
    'smoothness': (lambda v: SuperpixelCut(smoothness=v), [0, 1e6], [-1, float('inf')], 'smoothness'),
    'margin of cuts': (lambda v: SuperpixelCut(margin=v), [0], [-1, float('inf'), float('nan')], 'margin'),
    'prior of cuts': (lambda v: SuperpixelCut(prior=v), [0, 2.5], [-0.1, float('inf'), float('nan')], 'prior'),
    'min_size of images': (lambda v: PackTagInputs(v), [0], [-1], 'min_size'),
    'beta': (lambda v: roi_head(beta=v), [0, 1], [-0.1, 1.1], 'beta'),
    'single_label_weight': (lambda v: roi_head(single_label_weight=v), [0], [-1], 'single_label_weight'),
    'interval of panels': (lambda v: SamplePanels(interval=v), [1], [0], 'interval'),
    'images of panels': (lambda v: SamplePanels(images=v), [1], [0], 'images'),
    'width of panels': (lambda v: SamplePanels(width=v), [1], [0], 'width'),
    'interval of label samples': (lambda v: LabelSamplesHook(interval=v), [1], [0], 'interval'),
    'images of label samples': (lambda v: LabelSamplesHook(max_images=v), [1], [0], 'max_images'),
    'num_groups': (lambda v: pcl(num_groups=v), [1], [0], 'num_groups'),
    'graph_iou': (lambda v: pcl(graph_iou=v), [0, 1], [-0.1, 40], 'graph_iou'),
    'max_per_tag of PCL': (lambda v: pcl(max_per_tag=v), [1], [0], 'max_per_tag'),
    'num_branches': (lambda v: pcl(num_branches=v), [1], [0], 'num_branches'),
    'limit': (lambda v: thin_proposals(np.array([[0, 0, 4, 4]], np.float32), v), [1], [0], 'At least 1 proposal'),
}


@pytest.mark.parametrize('name', RANGES)
def test_the_ends_of_a_range_belong_to_it_and_nothing_beyond(name):
    make, taken, refused, message = RANGES[name]
    for value in taken:
        assert make(value) is not None
    for value in refused:
        with pytest.raises(ValueError, match=message):
            make(value)


@pytest.mark.parametrize(
    ('made', 'options'),
    [
        (lambda v: ProposalCalibration(start=v), ('tag', 'argmax', 'argmax_all')),
        (lambda v: MaskAggregation(weights=v), ('class', 'score', 'one')),
        (lambda v: MaskAggregation(box=v), ('mask', 'proposal')),
        (lambda v: SelectiveSearchSettings(mode=v), ('fast', 'quality', 'single')),
        (lambda v: MODELS.build(dict(toy.stage_config('classification')['roi_head'], rank=v)), ('product', 'class')),
    ],
)
def test_each_of_the_named_options_is_taken_and_another_is_refused_with_their_names(made, options):
    for option in options:
        assert made(option) is not None
    with pytest.raises(ValueError, match='.*'.join(options)):
        made('other')
