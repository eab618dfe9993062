"""Write an editable config for your own images, depending on their number and the hardware."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmlabelpenet.apis.config import load_config, unsubstituted
from mmlabelpenet.apis.inferencer import SHIPPED_WEIGHTS
from mmlabelpenet.files import atomic_write, shipped
from mmlabelpenet.schema import counted
from mmlabelpenet.workbench.own_data.dataset import OwnData

_LEAST = dict(classification=200, detection=500, refinement=350, segmentation=350)  # iterations
CONFIGS = shipped('configs')


@dataclass(frozen=True)
class Hardware:
    """Available hardware: ``gpu_gib`` of the first GPU (0 without one) and ``cores``."""

    gpu_gib: float
    cores: int

    @classmethod
    def here(cls) -> 'Hardware':
        """The hardware of this machine."""
        import torch

        gib = torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else 0.0
        return cls(gib, len(os.sched_getaffinity(0)))

    def __str__(self) -> str:
        return f'a GPU of {self.gpu_gib:.0f} GiB' if self.gpu_gib else f'{self.cores} CPU {"core" if self.cores == 1 else "cores"}'


@dataclass(frozen=True)
class Recipe:
    """Training settings.

    Attributes:
        batch_size: images per iteration.
        workers: number of processes that load data, and on the CPU of those that label images.
        scales: (w, h) of training images; the smaller one is used at test time.
        iters: iterations of each phase, in order.
        lr: learning rate of the first stage; the others start at half of it.
    """

    batch_size: int
    workers: int
    scales: tuple[tuple[int, int], tuple[int, int]]
    iters: dict[str, int]
    lr: float = 1e-3


def choose_recipe(images: int, hardware: Hardware) -> Recipe:
    """Choose iterations by the number of images, and sizes by the hardware.

    On a CPU, the first stage sees an image about five times and the others about four and two times; on a GPU, four times as often. The
    length of a phase has a minimum for small data sets and a maximum for acceptable training time.

    Args:
        images: number of training images.
        hardware: the hardware for training.

    >>> choose_recipe(12, Hardware(0, 2)).iters['detection'], choose_recipe(5000, Hardware(24, 16)).iters['detection']
    (500, 11250)
    """
    gpu = hardware.gpu_gib >= 6
    batch = 8 if hardware.gpu_gib >= 16 else 4
    seen, most = images * (4 if gpu else 1) / batch, 20000 if gpu else 3000
    visits = dict(classification=5, detection=4.5, refinement=2.25, segmentation=2.25)
    iters = {name: max(_LEAST[name], round(min(often * seen, most))) for name, often in visits.items()}
    scales = ((640, 480), (800, 600)) if gpu else ((400, 300), (480, 360))
    return Recipe(batch, max(1, min(4, hardware.cores - 1)), scales, iters | dict(recurrent=max(10, round(seen / 2) if gpu else 10)))


def write_config(data: OwnData, hardware: Hardware, path: Path) -> Config:
    """Write the config of a data set.

    Args:
        data: with proposals for ``train`` and, if present, ``test`` and ``new``.
        hardware: the hardware for training.
        path: path of the config; an existing file is replaced.

    Returns:
        the config, read back.
    """
    recipe = choose_recipe(len(data.splits['train']), hardware)
    shown = next((split for split in ('test', 'new') if data.splits[split]), 'train')
    with atomic_write(path) as file:
        file.write(unsubstituted(_text(data, recipe, hardware, shown)))
    return load_config(path)


def _text(data: OwnData, recipe: Recipe, hardware: Hardware, shown: str) -> str:
    images = f'{counted(len(data.splits["train"]), "image")} of {counted(len(data.classes), "class")}'
    return f"""# Written by tools/own_data.py for {images} and {hardware}. You may edit this file.
_base_ = [
    {str(CONFIGS / '_base_/default_runtime.py')!r},
    {str(CONFIGS / '_base_/models/labelpenet_lite0_photo.py')!r},
]
data_root = {str(data.root.resolve())!r}
work_dir = data_root + '/work_dir'
classes = {_tuple(data.classes)}
{_model(data, recipe)}

# Iterations of each stage, and finally of all stages together; the learning rate is divided by ten in the last twelfth of each later stage.
# More iterations take longer and mostly help. The detection stage starts from the network included in the package, trained on image tags
# of 20 classes; the two mask stages start from the previous stage.
train_cfg = dict(
    type='LabelPropagationLoop',
    phases=dict(
{_phases(recipe)}
    ),
)
# The classifiers of the first stage have a higher learning rate than its proposal weights (docs/findings.md).
__fast = dict(lr_mult=10)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr={recipe.lr}, weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=10),
    paramwise_cfg=dict(
        custom_keys={{
            'classification.detector.roi_head.bbox_head.fc_cls': __fast,
            'classification.detector.roi_head.tag_head': __fast,
        }}
    ),
)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20), sample_panels=dict(interval=100))
# Writes a page with the labels of the first stage to work_dir/pseudo_labels before the other stages train.
custom_hooks = [dict(type='FirstPageHook', images=data_root + '/JPEGImages')]


# Larger images help with small objects, and take longer.
__load = [dict(type='LoadImageFromFile'), dict(type='LoadProposals')]
__augment = [
    dict(type='RandomChoiceResize', scales={list(recipe.scales)}, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
]
__resize = [dict(type='Resize', scale={recipe.scales[0]}, keep_ratio=True)]
__pseudo_labels = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
__train_pipeline = [
    *__load,
    __pseudo_labels,
    dict(type='ProposalBroadcaster', transforms=__augment),
    dict(type='PackTagInputs'),
]
__test_pipeline = [*__load, dict(type='ProposalBroadcaster', transforms=__resize), dict(type='PackTagInputs')]
# Proposals smaller than a hundredth of the image are ignored: decrease this for small objects.
__data = dict(
    type='VOCTags',
    data_root=data_root,
    tags=data_root + '/tags.csv',
    metainfo=dict(classes=classes),
    min_proposal_area=0.01,
)
__train = dict(__data, split='train', proposals=data_root + '/proposals/train.npz')
__test = dict(__data, split={shown!r}, proposals=data_root + '/proposals/{shown}.npz', keep_untagged=True, test_mode=True)

train_dataloader = dict(
    batch_size={recipe.batch_size},
    num_workers={recipe.workers},
    sampler=dict(type='ResumableSampler'),
    dataset=dict(__train, pipeline=__train_pipeline),
)
label_dataloader = dict(batch_size=4, num_workers={recipe.workers}, dataset=dict(__train, pipeline=__test_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(__test, pipeline=__test_pipeline),
)
# Used only by tools/test.py, which needs annotations of the split.
test_evaluator = dict(type='StageMetric', data_root=data_root, split={shown!r}, mask_classes=classes)
test_cfg = dict(type='TestLoop')
{_OVERLAP if shown == 'train' else ''}"""


_OVERLAP = """# There are no test images: the loader above uses training images, so metrics on them are not test results.
allow_test_overlap = True
"""


def _phases(recipe: Recipe) -> str:
    """The phases, one per line: later stages use half the learning rate of the first, with a drop near the end; recurrent fine-tuning uses
    a tenth of that.
    """
    lines = []
    for number, (name, count) in enumerate(recipe.iters.items()):
        if number == 0:
            rest = f'lr={recipe.lr}'
        elif name == 'recurrent':
            rest = f'lr={recipe.lr / 20}'
        else:
            start = True if number > 1 else str(SHIPPED_WEIGHTS)
            rest = f'lr={recipe.lr / 2}, milestones=[11 / 12], warm_start={start!r}'
        lines.append(f'        {name}=dict(iters={count}, {rest}),')
    return '\n'.join(lines)


def _model(data: OwnData, recipe: Recipe) -> str:
    later = ', '.join(f'{name}=__anchors' for name in list(recipe.iters)[1:4])
    large = max(recipe.scales[0]) > 400
    anchors = """# Anchors of 64 to 512 pixels; the model's default ends at 320, for smaller images.
__anchors = dict(detector=dict(rpn_head=dict(anchor_generator=dict(scales=[4, 8, 16, 32]))))
"""
    stages = f', stages=dict({later})' if large else ''
    return f'{anchors if large else ""}model = dict(num_classes={len(data.classes)}{stages})'


def _tuple(names: Sequence[str]) -> str:
    return '(' + ''.join(f'{name!r}, ' for name in names).rstrip() + ')'
