"""Shared inputs of several suites: rendered images with proposals and labels, and the CPU-size model for rendered images."""

import copy
import functools
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.runner import Runner

from mmlabelpenet.apis.config import load_config
from mmlabelpenet.calibration.objects import largest_component
from mmlabelpenet.datasets.label_writer import PseudoLabelWriter
from mmlabelpenet.datasets.proposals import ProposalRecord
from mmlabelpenet.datasets.samplers import Draw
from mmlabelpenet.engine import LabelPass
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.registry import DATASETS, MODELS
from mmlabelpenet.structures import pseudo_instances
from mmlabelpenet.workbench.proposal_writer import write_proposals
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES, RenderSettings, render_dataset

ROOT = Path(__file__).resolve().parents[3]
RENDERED_CONFIG = ROOT / 'configs/labelpenet/labelpenet_lite0_rendered.py'
LABELS = 'labels.json'


@functools.cache
def rendered_data(images: int = 8, height: int = 240, width: int = 320, proposals: int = 300) -> Path:
    """Folder of a rendered training set, with ``proposals.npz`` and the true objects as a label store next to it.

    Proposals are every object four times, jittered, and random boxes. The folder is removed when the process ends.
    """
    folder = tempfile.TemporaryDirectory(prefix='benchmark_')
    rendered_data.folders = [*getattr(rendered_data, 'folders', []), folder]  # keeps them
    root = Path(folder.name) / 'rendered'
    sides = dict(height=height, width=width, min_size=height // 4, max_size=7 * height // 10)
    render_dataset(root, RenderSettings(num_train=images, num_test=1, **sides))
    devkit = VOCDevkit(root, RENDERED_CLASSES)
    image_ids = devkit.image_ids('train')
    write_proposals(root.parent / 'proposals.npz', [_proposals(devkit, name, proposals) for name in image_ids], dict(split='train'))
    writer = PseudoLabelWriter(root.parent / LABELS, dict(stage='detection'))
    for name in image_ids:
        truth, path = devkit.instance_masks(name), devkit.image_path(name)
        boxes = torch.from_numpy(np.stack([largest_component(mask) for mask in truth.masks]))
        labels = pseudo_instances(boxes, torch.from_numpy(truth.labels), truth.masks, torch.ones(len(boxes)))
        writer.add(name, path.name, devkit.image_size(name), labels, str(path))
    writer.finish(image_ids, RENDERED_CLASSES)
    return root


def _proposals(devkit: VOCDevkit, image_id: str, count: int) -> ProposalRecord:
    rng = np.random.default_rng(0)
    h, w = devkit.image_size(image_id)
    truth = np.repeat(devkit.objects(image_id).bboxes, 4, 0)
    near = truth + rng.normal(scale=6, size=truth.shape)
    corners = np.sort(rng.uniform(0, 1, (2 * count, 2, 2)), axis=1).reshape(-1, 4) * (w, h, w, h)
    boxes = np.concatenate([near, corners]).clip(0, (w, h, w, h)).round().astype(np.float32)
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(1) >= 16][:count]
    return ProposalRecord(image_id, (h, w), boxes, np.ones(len(boxes), np.float32))


def rendered_config(data_root: Path) -> Config:
    """The rendered default config on this data; everything in one process."""
    config = load_config(RENDERED_CONFIG)
    for name in ('train', 'label'):
        loader = config[f'{name}_dataloader']
        loader.num_workers = 0
        loader.dataset.data_root, loader.dataset.proposals = str(data_root), str(data_root.parent / 'proposals.npz')
    return config


def build_model(config: Config, device: torch.device, pretrained: bool = True) -> torch.nn.Module:
    """The config's model with seeded weights, in training mode; with ``pretrained``, the ImageNet weights of the config."""
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config.model))
    if pretrained:
        model.init_weights()
    return model.to(device).train()


def optimizer_of(config: Config, model: torch.nn.Module, lr: float | None = None) -> OptimWrapper:
    """The config's optimizer for any model, optionally with another learning rate."""
    settings = copy.deepcopy(config.optim_wrapper)
    settings.optimizer.lr = settings.optimizer.lr if lr is None else lr
    return build_optim_wrapper(model, settings)


def training_set(config: Config, labels: bool = True) -> torch.utils.data.Dataset:
    """The training split, with the true objects as its pseudo labels."""
    dataset = DATASETS.build(copy.deepcopy(config.train_dataloader.dataset))
    if labels:
        dataset.use_pseudo_labels(str(Path(config.train_dataloader.dataset.data_root).parent / LABELS))
    return dataset


def draw_batch(dataset: torch.utils.data.Dataset, number: int, size: int) -> dict:
    """Load batch ``number``: consecutive images, each with its own augmentation seed."""
    return pseudo_collate([dataset[Draw(k % len(dataset), k)] for k in range(number * size, (number + 1) * size)])


class LabelPasses:
    """Complete label passes of one stage, one per call, each into a temporary folder; as in training, the data set is built once."""

    def __init__(self, config: Config, model: torch.nn.Module, stage: str) -> None:
        self.model, self.stage = model, stage
        self.runner = SimpleNamespace(cfg=config, build_dataloader=Runner.build_dataloader)
        self.label_pass = LabelPass(config.label_dataloader, '', config.model)
        self.label_pass.loader(self.runner, ())

    def __call__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.label_pass.folder = Path(folder)
            self.label_pass.run(self.runner, self.stage, self.model)
