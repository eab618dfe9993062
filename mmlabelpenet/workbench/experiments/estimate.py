"""Estimate time and memory of a schedule from a few iterations of each phase."""

import copy
import os
import resource
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from mmlabelpenet.apis.config import build_dataset, build_model
from mmlabelpenet.datasets.samplers import Draw
from mmlabelpenet.engine.label_pass import label, workers_run_network
from mmlabelpenet.engine.phases import RECURRENT, Phase, make_phases
from mmlabelpenet.structures import pseudo_instances
from mmlabelpenet.timing import STOPWATCH
from mmlabelpenet.workers import Workers


@dataclass
class Step:
    """A step of the schedule.

    Attributes:
        name: name of the phase, or of the stage that labels.
        times: number of iterations, or of images per process.
        parts: seconds of one iteration, by part.
        seconds: seconds of one iteration, taking parallel parts into account.
        memory: peak in bytes: of the GPU, else of this process so far.
        waits: fraction of the time that the network waits for the CPU to load images or compute labels.
    """

    name: str
    times: int
    seconds: float
    parts: dict[str, float] = field(default_factory=dict)
    memory: int = 0
    waits: float = 0.0

    @property
    def total(self) -> float:
        """Total seconds."""
        return self.times * self.seconds

    def shares(self) -> list[tuple[str, float]]:
        """Parts and their share of the work, largest first, without those below 1 %.

        >>> Step('detection', 10, 2.0, dict(load=0.5, backbone=1.5)).shares()
        [('backbone', 0.75), ('load', 0.25)]
        """
        whole = sum(self.parts.values()) or 1.0
        return sorted(((part, value / whole) for part, value in self.parts.items() if value / whole >= 0.01), key=lambda item: -item[1])


PHASES, LABEL_PASSES = 'phases', 'label passes'


def estimate(
    config: Config,
    device: torch.device,
    ranks: int = 1,
    iters: int = 5,
    bandwidth: float = 1e10,
    measured: Collection[str] = (PHASES, LABEL_PASSES),
) -> Iterator[Step]:
    """Measure each phase of a config and the preceding label pass.

    Args:
        config: config of a training; its images and proposals are read, ImageNet weights and pseudo labels are not.
        device: device of the measurement.
        ranks: number of processes, each with the config's batch size; they share label passes and exchange gradients.
        iters: number of measured iterations, after one warm-up iteration.
        bandwidth: bandwidth for gradients in bytes per second.
        measured: :data:`PHASES`, :data:`LABEL_PASSES` or both. Label passes do not depend on the precision of training.

    Yields:
        steps in the order of the schedule.
    """
    torch.manual_seed(0)
    model = build_model(config).to(device)
    settings = copy.deepcopy(config.optim_wrapper)
    settings.optimizer.lr = 0.0  # do not learn from synthetic labels
    optimizer = build_optim_wrapper(model, settings)
    batches = config.optim_wrapper.get('accumulative_counts', 1)
    data, still = (build_dataset(config, name) for name in ('train', 'label'))
    for phase in make_phases(config.train_cfg.phases, model.names):
        if LABEL_PASSES in measured and phase.name in model.names[1:] and phase.pseudo_labels is None:
            teacher = model.names[model.names.index(phase.name) - 1]
            yield _label_pass(model, teacher, still, config.label_dataloader, -(-len(still) // ranks), iters)
        if PHASES not in measured:
            continue
        with Workers(config.label_dataloader.get('num_workers', 0) if phase.name == RECURRENT else 0) as beside:
            step = _phase(model, optimizer, phase, data, config.train_dataloader, iters, beside)
        step.seconds *= batches
        if ranks > 1:
            step.parts['gradients'] = bytes_between_ranks(model, phase, ranks) / bandwidth
            step.seconds += step.parts['gradients']
        yield step


def bytes_between_ranks(model: nn.Module, phase: Phase, ranks: int) -> float:
    """Bytes sent by a rank per iteration in a ring all-reduce of the gradients of a phase."""
    trained = model if phase.name == RECURRENT else model.stages[phase.name]
    updates = len(phase.trains(0))
    return updates * 2 * (ranks - 1) / ranks * sum(p.numel() * p.element_size() for p in trained.parameters() if p.requires_grad)


def _phase(model: nn.Module, optimizer: OptimWrapper, phase: Phase, data, loader: dict, iters: int, beside: Workers) -> Step:
    parts: list[dict[str, float]] = []
    size, workers = loader.batch_size, loader.get('num_workers', 0)
    _forget_peak()
    for number in range(iters + 1):
        begin = time.perf_counter()
        batch = pseudo_collate([data[Draw(k % len(data), k)] for k in range(number * size, (number + 1) * size)])
        load = time.perf_counter() - begin
        if phase.name != RECURRENT:
            _make_up_labels(batch)
        model.train()
        spent = _watch(lambda batch=batch: _train(model, optimizer, phase.trains(0), batch, beside))
        parts.append({'loading': load, **spent})
    mean = _mean(parts[1:])
    seconds, waits = _beside(mean, ('loading',), workers)
    return Step(phase.name, phase.iters, seconds, mean, _peak(), waits)


def _label_pass(model: nn.Module, stage: str, data, loader: dict, images: int, iters: int) -> Step:
    parts: list[dict[str, float]] = []
    size, workers, generator = loader.batch_size, loader.get('num_workers', 0), model.stages[stage].labels
    in_workers, threads = workers_run_network(model, workers), torch.get_num_threads()
    model.eval()
    _forget_peak()
    torch.set_num_threads(1 if in_workers else threads)
    for number in range(iters + 1):
        begin = time.perf_counter()
        batch = pseudo_collate([data[k % len(data)] for k in range(number * size, (number + 1) * size)])
        load = time.perf_counter() - begin
        data_batch = model.data_preprocessor(batch, False)
        begin = time.perf_counter()
        explained = model.explain(stage, data_batch['inputs'], data_batch['data_samples'])
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        middle = time.perf_counter()
        for (image, explanation), sample in zip(explained, data_batch['data_samples'], strict=True):
            label((generator, image, explanation, sample))
        parts.append(dict(loading=load / size, network=(middle - begin) / size, crf=(time.perf_counter() - middle) / size))
    torch.set_num_threads(threads)
    mean = _mean(parts[1:])
    if in_workers:
        seconds, waits = sum(mean.values()) / min(workers, len(os.sched_getaffinity(0))), 0.0
    else:
        seconds, waits = _beside(mean, ('loading', 'crf'), workers)
    return Step(f'labels of {stage}', images, seconds, mean, _peak(), waits)


def _train(model: nn.Module, optimizer: OptimWrapper, trains: tuple[str, ...], batch: dict, beside: Workers) -> None:
    for each in trains:
        model.train_step(copy.deepcopy(batch) | dict(trains=each, workers=beside), optim_wrapper=optimizer)


def _make_up_labels(batch: dict) -> None:
    """Use some proposals as pseudo instances with half of their box as mask; times are the same as with real labels."""
    for sample in batch['data_samples']:
        tags = sample.gt_image_labels.onehot.nonzero().flatten()
        bboxes = sample.proposals.bboxes[: len(tags) + 1]
        labels = tags[torch.arange(len(bboxes)) % max(len(tags), 1)]
        masks = np.zeros((len(bboxes), *sample.img_shape[:2]), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, bboxes.int().tolist(), strict=True):
            mask[y1 : (y1 + y2 + 1) // 2 + 1, x1 : x2 + 1] = 1
        sample.pseudo_instances = pseudo_instances(bboxes, labels, masks, torch.full((len(bboxes),), 0.5))


def _watch(run: Callable[[], None]) -> dict[str, float]:
    """Seconds of the parts of an iteration; ``update`` is the backward pass and the optimizer."""
    begin = time.perf_counter()
    STOPWATCH.start(synchronize=True)
    run()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    spent = dict(STOPWATCH.stop())
    spent['update'] = time.perf_counter() - begin - sum(spent.values())
    return spent


def _mean(parts: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.fmean(part.get(key, 0.0) for part in parts) for key in parts[0]}


def _beside(parts: dict[str, float], ahead: Sequence[str], workers: int) -> tuple[float, float]:
    """Seconds of a step in which ``workers`` processes compute some parts ahead, and the fraction spent waiting for them."""
    done = sum(parts[part] for part in ahead)
    rest = sum(parts.values()) - done
    seconds = max(rest, done / workers) if workers else rest + done
    return seconds, 1 - rest / seconds if seconds else 0.0


def _forget_peak() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _peak() -> int:
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
