"""Toy data and a toy network: rendered images of 128x96 pixels with proposals, all four stages in a few thousand weights."""

import copy
import itertools
import shutil
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from torch import nn
from torch.nn import functional as F

from mmlabelpenet.calibration.excitation import proposal_attention, recorded
from mmlabelpenet.calibration.reading import inference
from mmlabelpenet.datasets.proposals import ProposalFile, ProposalRecord
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.files import file_hash
from mmlabelpenet.models.backbones.tail import Tail
from mmlabelpenet.models.inference.views import View, crop_maps, read_views
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.proposal_writer import write_proposals
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES, RenderSettings, render_dataset

HEIGHT, WIDTH = 96, 128
SETTINGS = RenderSettings(
    num_train=6, num_test=2, height=HEIGHT, width=WIDTH, max_objects=2, min_size=30, max_size=70, num_polygons=6, num_fragments=1
)
STAGES = ('classification', 'detection', 'refinement', 'segmentation')
CRF = dict(bilateral_xy=20, bilateral_compat=4, gaussian_xy=2, iterations=2, max_size=64)
_names = itertools.count()


@MODELS.register_module(force=True)
class ToyBackbone(nn.Module):
    """Two convolutions, stride 8, not negative."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 5, stride=4, padding=2), nn.Conv2d(8, 12, 3, stride=2, padding=1)

    def forward(self, x):
        return (F.relu(self.second(F.relu(self.first(x)))),)


@MODELS.register_module(force=True)
class ToyTail(nn.Module):
    """One convolution and a ReLU: a stage's own layers."""

    def __init__(self, in_channels=12, out_channels=12):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x):
        return (F.relu(self.conv(x)),)


class BlockTail(Tail):
    """Two blocks on the shared map of the toy network."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Conv2d(12, 12, 3, padding=1) for _ in range(2))
        self.complete(12, 12, aspp=None, with_input=False)

    def levels(self, x):
        """The map and what each block makes of it."""
        maps = [x]
        for block in self.blocks:
            maps.append(block(maps[-1]).relu())
        return maps


def extractor(size, maps=1):
    kind = dict(type='SingleRoIExtractor') if maps == 1 else dict(type='LastMapRoIExtractor')
    roi_layer = dict(type='RoIAlign', output_size=size, sampling_ratio=2, aligned=False)
    return dict(kind, roi_layer=roi_layer, out_channels=12, featmap_strides=[8] * maps)


def rpn_head(objectness='soft'):
    return dict(
        type='WeightedRPNHead',
        objectness=objectness,
        in_channels=12,
        feat_channels=12,
        anchor_generator=dict(type='AnchorGenerator', scales=[2, 4, 6], ratios=[0.5, 1.0, 2.0], strides=[8]),
        bbox_coder=coder(1.0, 1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    )


def coder(centre=0.1, size=0.2):
    return dict(type='DeltaXYWHBBoxCoder', target_means=(0.0, 0.0, 0.0, 0.0), target_stds=(centre, centre, size, size))


def bbox_head():
    return dict(
        type='WeightedBBoxHead',
        num_shared_fcs=2,
        in_channels=12,
        fc_out_channels=16,
        roi_feat_size=4,
        num_classes=4,
        bbox_coder=coder(),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    )


def mask_head():
    return dict(type='WeightedMaskHead', num_convs=1, in_channels=12, conv_out_channels=8, num_classes=4)


def assigner(positive, negative):
    return dict(
        type='MaxIoUAssigner',
        pos_iou_thr=positive,
        neg_iou_thr=negative,
        min_pos_iou=negative,
        match_low_quality=positive > 0.5,
        ignore_iof_thr=-1,
    )


def sampler(num, **kwargs):
    return dict(type='WeightedRandomSampler', num=num, neg_pos_ub=-1, **kwargs)


def train_cfg():
    return dict(
        rpn=dict(
            assigner=assigner(0.7, 0.3),
            sampler=sampler(32, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=100, max_per_img=40, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=assigner(0.5, 0.5),
            sampler=sampler(16, pos_fraction=0.25, add_gt_as_proposals=True),
            mask_size=14,
            pos_weight=-1,
            debug=False,
        ),
    )


def test_cfg():
    return dict(
        rpn=dict(nms_pre=100, max_per_img=30, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=1e-3, nms=dict(type='nms', iou_threshold=0.3), max_per_img=10, mask_thr_binary=-1),
    )


test_cfg.__test__ = False


def stage_config(name, objectness='soft', mil_loss='MILSoftmaxLoss'):
    if name == 'classification':
        head = dict(type='MILBBoxHead', fc_channels=(16, 16), in_channels=12, roi_feat_size=4, num_classes=4, mil_loss=dict(type=mil_loss))
        rcnn = dict(score_thr=-1e3, nms=dict(type='nms', iou_threshold=0.3), max_per_img=10)
        return dict(
            type='mmdet.FastRCNN',
            backbone=dict(type='ToyTail'),
            roi_head=dict(type='MILRoIHead', bbox_roi_extractor=extractor(4), bbox_head=head),
            train_cfg=dict(rcnn=None),
            test_cfg=dict(rcnn=rcnn),
        )
    if name == 'detection':
        return dict(
            type='mmdet.FasterRCNN',
            backbone=dict(type='ToyTail'),
            rpn_head=rpn_head(objectness),
            roi_head=dict(type='mmdet.StandardRoIHead', bbox_roi_extractor=extractor(4), bbox_head=bbox_head()),
            train_cfg=train_cfg(),
            test_cfg=test_cfg(),
        )
    roi_head = dict(bbox_roi_extractor=extractor(4, 2), bbox_head=bbox_head(), mask_roi_extractor=extractor(7, 2), mask_head=mask_head())
    return dict(
        type='mmdet.MaskRCNN',
        backbone=dict(type='ASPPTail', in_channels=12, channels=6, out_channels=12, dilations=(1, 2)),
        rpn_head=rpn_head(objectness),
        roi_head=dict(type='mmdet.StandardRoIHead', **roi_head),
        train_cfg=train_cfg(),
        test_cfg=test_cfg(),
    )


def model_config(stages=STAGES, **kwargs):
    generators = dict(
        classification=dict(type='ProposalCalibration', max_per_tag=1, crf=CRF),
        detection=dict(type='ProposalCalibration', crf=CRF),
        refinement=dict(type='MaskAggregation', weights='one', crf=CRF),
    )
    return dict(
        type='LabelPENet',
        num_classes=4,
        data_preprocessor=dict(
            type='InvertibleDataPreprocessor', mean=[120.0, 110.0, 100.0], std=[60.0, 61.0, 62.0], bgr_to_rgb=True, pad_size_divisor=16
        ),
        backbone=dict(type='ToyBackbone'),
        stages={
            name: dict(
                detector=stage_config(name),
                learns_from='tags' if name == 'classification' else 'labels',
                **(dict(labels=generators[name]) if name in generators else {}),
            )
            for name in stages
        },
        test_cfg=dict(crf=CRF, max_masks=3),
        **kwargs,
    )


def build(config, seed=0):
    """Build a registered module with weights that only the seed decides; all of them make some difference."""
    torch.manual_seed(seed)
    module = MODELS.build(ConfigDict(copy.deepcopy(config)))
    for parameter in module.parameters():  # the initial weights of heads are so small that everything would tie
        with torch.no_grad():
            parameter.copy_(torch.randn_like(parameter) * (2.0 / max(parameter[0].numel(), 1)) ** 0.5 if parameter.dim() > 1 else parameter)
    return module


def net_with_tag_head():
    """The toy network, whose classification stage also classifies the whole image."""
    config = model_config()
    config['stages']['classification']['detector']['roi_head']['tag_head'] = dict(type='TagHead', in_channels=12)
    net = build(config)
    with torch.no_grad():
        net.stages['classification'].detector.roi_head.tag_head.fc.weight.normal_()
    return net


def make_data(root):
    """Render the images and write proposals of both splits; returns the folder of the devkit."""
    data_root = Path(root) / 'rendered'
    render_dataset(data_root, SETTINGS)
    devkit = VOCDevkit(data_root, RENDERED_CLASSES)
    for split in ('train', 'test'):
        rng = np.random.default_rng(1)
        records = [toy_proposals(devkit, image_id, rng) for image_id in devkit.image_ids(split)]
        write_proposals(Path(root) / f'{split}.npz', records, dict(split=split))
    return data_root


def toy_proposals(devkit, image_id, rng):
    """Every object four times, jittered, and ten random boxes."""
    truth = np.repeat(devkit.objects(image_id).bboxes, 4, 0)
    truth = truth + rng.normal(scale=3, size=truth.shape)
    corner = rng.uniform((0, 0), (WIDTH - 24, HEIGHT - 24), size=(10, 2))
    boxes = np.concatenate([truth, np.concatenate([corner, corner + rng.uniform(16, 60, size=(10, 2))], 1)])
    boxes = boxes.clip(0, (WIDTH, HEIGHT, WIDTH, HEIGHT)).round(2).astype(np.float32)
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(1) > 4]
    scores = rng.permutation(len(boxes)).astype(np.float32) / len(boxes)
    return ProposalRecord(image_id, (HEIGHT, WIDTH), boxes, scores, file_hash(devkit.image_path(image_id)))


def with_mixed_sizes(data_root, root):
    """A copy of the data in which no two training images have one size; returns the folder of the devkit."""
    shutil.copytree(data_root, Path(root) / 'rendered')
    records, file = [], ProposalFile(Path(data_root).parent / 'train.npz')
    for k, name in enumerate(file.image_ids):
        (h, w), path = (HEIGHT - 6 * k, WIDTH - 10 * (5 - k)), str(Path(root) / f'rendered/JPEGImages/{name}.jpg')
        cv2.imwrite(path, cv2.imread(path)[:h, :w])
        bboxes, scores = file.get(name)
        bboxes = bboxes.clip(0, (w, h, w, h))
        kept = (bboxes[:, 2:] - bboxes[:, :2]).min(1) > 4
        records.append(ProposalRecord(name, (h, w), bboxes[kept], scores[kept], file_hash(path)))
    write_proposals(Path(root) / 'train.npz', records, dict(split='train'))
    return Path(root) / 'rendered'


def pipelines():
    load = [dict(type='LoadImageFromFile'), dict(type='LoadProposals')]
    annotations = [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
    resize = dict(type='RandomChoiceResize', scales=[(128, 96), (160, 120)], keep_ratio=True)
    augment = dict(type='ProposalBroadcaster', transforms=[resize, dict(type='RandomFlip', prob=0.5)])
    still = dict(type='ProposalBroadcaster', transforms=[dict(type='Resize', scale=(128, 96), keep_ratio=True)])
    return [*load, *annotations, augment, dict(type='PackTagInputs')], [*load, still, dict(type='PackTagInputs')]


def dataset_config(data_root, split='train', train=True, **kwargs):
    config = dict(
        type='VOCTags',
        data_root=str(data_root),
        split=split,
        metainfo=dict(classes=RENDERED_CLASSES),
        proposals=str(Path(data_root).parent / f'{split}.npz'),
        pipeline=pipelines()[0 if train else 1],
    )
    return config | kwargs


def phase_config(phases):
    """Of ``(name, iters)`` or ``(name, iters, dict(...))``."""
    return {name: dict(iters=iters, **(rest[0] if rest else {})) for name, iters, *rest in phases}


def run_config(data_root, work_dir, phases, interval=2, dataset=None, hooks=(), workers=0, **model):
    dataset = dataset or {}
    loader = dict(batch_size=2, num_workers=workers)
    return Config(
        dict(
            default_scope='mmlabelpenet',
            experiment_name=f'toy_{next(_names)}',
            work_dir=str(work_dir),
            model=model_config(**model),
            train_dataloader=dict(loader, sampler=dict(type='ResumableSampler'), dataset=dataset_config(data_root, **dataset)),
            label_dataloader=dict(loader, dataset=dataset_config(data_root, train=False, **dataset)),
            train_cfg=dict(type='LabelPropagationLoop', phases=phase_config(phases)),
            optim_wrapper=dict(
                type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-3), clip_grad=dict(max_norm=10)
            ),
            default_hooks=dict(
                checkpoint=dict(type='AtomicCheckpointHook', interval=interval),
                health=dict(type='HealthHook'),
                reused_labels=dict(type='ReusedLabelsHook'),
            ),
            custom_hooks=list(hooks),
            log_processor=dict(type='LogProcessor', window_size=1, by_epoch=False),
            randomness=dict(seed=3),
            log_level='WARNING',
        ),
        format_python_code=False,  # formatting takes longer than training
    )


def write_config(path, root, **changes):
    """A toy config of two stages that processes of their own can read."""
    config = run_config(root, 'unused', [('classification', 2), ('detection', 1)], stages=STAGES[:2])
    for key in ('work_dir', 'experiment_name'):
        config.pop(key)
    config.custom_imports = dict(imports=['mmlabelpenet', 'toy'], allow_failed_imports=False)
    config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
    dataset = dataset_config(root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
    config.test_evaluator = dict(
        type='StageMetric', data_root=str(root), split='test', protocol='test', mask_classes=dataset['metainfo']['classes']
    )
    config.test_cfg = dict(type='TestLoop')
    config.merge_from_dict(changes)
    path.write_text(config.pretty_text)


def build_runner(config):
    """A runner whose weights only the seed of the config decides."""
    torch.manual_seed(0)
    return Runner.from_cfg(config)


def hurry(patch):
    """Runners that neither ask compilers for their versions nor format their config's text, which take seconds."""
    patch.setattr('mmengine.runner.runner.collect_env', dict)
    text = property(lambda config: '\n'.join(f'{key} = {value!r}' for key, value in config.to_dict().items()))
    patch.setattr('mmengine.config.Config.pretty_text', text)


def read_batch(detector, feature, samples, record=False):
    """What a detector reads in each image of a batch."""
    with inference(detector):
        views = map(View, crop_maps(feature.detach(), samples), samples)
        return [read_views(detector, [detector.extract_feat(view.feature.float())], [view.sample], record)[0] for view in views]


def attention_of(head, feats, labels):
    """Attention maps (R, p, p) of RoI features and the class probabilities (R, C), from one pass of a box head."""
    with recorded(head.linear_layers()) as found:
        head(feats)
    activations = [values for (values,) in found]
    return proposal_attention(feats, head, labels, activations), head.class_probs(activations[-1])


def labels_of(detector, generator, feature, samples, images):
    """Pseudo instances that a label generator makes of what a detector reads, per image."""
    readings = read_batch(detector, feature, samples, generator.reads_activations)
    with inference(detector):
        told = [generator.explain(detector, reading) for reading in readings]
    return [generator.label(*pair) for pair in zip(images, told, strict=True)]


def weights(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def different(before, after):
    """Names of tensors that differ in any bit."""
    assert before.keys() == after.keys()
    return [name for name, value in before.items() if not torch.equal(value, after[name])]
