"""Measure the memory of training phase by phase: parameters, optimizer state, and the peak of one iteration."""

import multiprocessing
import resource
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.structures import InstanceData, LabelData
from mmengine.utils import import_modules_from_strings

from mmlabelpenet.apis.config import build_model, phase_lengths
from mmlabelpenet.engine.phases import RECURRENT, Phase, make_phases
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.structures import pseudo_instances


class Usage(NamedTuple):
    """Bytes of one phase: all ``parameters``, those that are ``trained``, ``optimizer`` state, and the ``peak`` of an iteration.

    On a GPU, the peak is the memory allocated by PyTorch; on the CPU, it is the resident memory of the process, including libraries.
    """

    phase: str
    parameters: int
    trained: int
    optimizer: int
    peak: int


def measure_phases(config: Config, size: tuple[int, int], proposals: int, batch_size: int = 1) -> Iterator[Usage]:
    """Measure each phase of a config in its own process.

    Args:
        config: its model, optimizer and phases are used, its data are not.
        size: (h, w) of the synthetic images.

    Yields:
        the phases in order.

    Raises:
        MemoryError: the system has killed the process of a phase.
        ValueError: the config has no phases.
    """
    if not (phases := phase_lengths(config)):
        raise ValueError(f'{config.filename} has no phases (train_cfg.phases), whose memory could be measured.')
    for index, phase in enumerate(phases):
        with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
            try:
                yield pool.submit(_measure, config.to_dict(), index, size, proposals, batch_size).result()
            except BrokenProcessPool as error:
                raise MemoryError(f'the process that measured phase {phase} was killed') from error


def _measure(content: dict, index: int, size: tuple[int, int], proposals: int, batch_size: int) -> Usage:
    if content.get('custom_imports'):  # nothing has been imported in this process yet
        import_modules_from_strings(**content['custom_imports'])
    return measure_phase(Config(content), index, size, proposals, batch_size)


def measure_phase(config: Config, index: int, size: tuple[int, int], proposals: int, batch_size: int = 1) -> Usage:
    """Run one iteration of phase ``index`` of a config in this process, with the memory of a later iteration; arguments as for
    :func:`measure_phases`.

    The optimizer state exists from the start, also for stages trained in earlier phases.
    """
    torch.manual_seed(0)
    model = build_model(config).to(get_device()).train()
    phases = make_phases(config.train_cfg.phases, model.names)
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    trained = [_trained_by(model, phase) for phase in phases[: index + 1]]
    for parameter in {id(p): p for part in trained for p in part}.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    data = synthetic_batch(config.model.num_classes, size, proposals, batch_size)
    for trains in phases[index].trains(0):
        model.train_step(data | dict(trains=trains), optimizer)
    return Usage(phases[index].name, _bytes(model.parameters()), _bytes(trained[-1]), optimizer_bytes(optimizer), peak_memory())


def _trained_by(model: LabelPENet, phase: Phase) -> list[torch.nn.Parameter]:
    part = model if phase.name == RECURRENT else model.stages[phase.name]
    return [parameter for parameter in part.parameters() if parameter.requires_grad]


def synthetic_batch(num_classes: int, size: tuple[int, int], proposals: int, batch_size: int) -> dict:
    """Random images with three tags, random proposals and pseudo instances, in the format of the data loader.

    >>> batch = synthetic_batch(20, (64, 96), proposals=5, batch_size=2)
    >>> batch['inputs'][0].shape, len(batch['data_samples'][1].proposals)
    (torch.Size([3, 64, 96]), 5)
    """
    rng = np.random.default_rng(0)
    samples = [_sample(rng, num_classes, size, proposals) for _ in range(batch_size)]
    return dict(inputs=[torch.as_tensor(rng.integers(0, 256, (3, *size), np.uint8)) for _ in samples], data_samples=samples)


def _sample(rng: np.random.Generator, num_classes: int, size: tuple[int, int], proposals: int) -> DetDataSample:
    sample = DetDataSample(metainfo=dict(img_id='noise', ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0)))
    onehot = torch.zeros(num_classes)
    onehot[:3] = 1
    sample.gt_image_labels = LabelData(onehot=onehot)
    sample.proposals = InstanceData(bboxes=_boxes(rng, size, proposals), scores=torch.ones(proposals))
    labels = onehot.nonzero().flatten()
    bboxes, masks = _boxes(rng, size, len(labels)), np.zeros((len(labels), *size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, bboxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    sample.pseudo_instances = pseudo_instances(bboxes, labels, masks, torch.full((len(labels),), 0.5))
    return sample


def _boxes(rng: np.random.Generator, size: tuple[int, int], count: int) -> torch.Tensor:
    """Random boxes with sides of at least a tenth of the image, float32 (count, 4)."""
    high = np.array([size[1], size[0]])
    corner = rng.uniform(0, 0.5, (count, 2)) * high
    extent = rng.uniform(0.1, 0.5, (count, 2)) * high
    return torch.as_tensor(np.concatenate([corner, corner + extent], 1), dtype=torch.float32)


def _bytes(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def optimizer_bytes(optimizer: OptimWrapper) -> int:
    """Bytes of an optimizer's state."""
    return _bytes(value for state in optimizer.optimizer.state.values() for value in state.values() if torch.is_tensor(value))


def peak_memory() -> int:
    """Peak memory so far: allocated on the GPU, or resident memory of this process on the CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path('/proc/self/status')
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text(encoding='utf-8').splitlines() if line.startswith('VmHWM'))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
