"""Synthetic proposals and labels for any number of images; each step runs in its own process, so that its memory can be measured:

Arguments: a folder, the number of images, and ``write-proposals``, ``write-store``, ``open`` or ``load``.

The last line of output is JSON: ``seconds`` of the step; ``peak`` of the process's memory, and what it holds ``after`` the step, in bytes,
without libraries.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mmlabelpenet.datasets.label_writer import PseudoLabelWriter
from mmlabelpenet.datasets.proposals import ProposalFile, ProposalRecord
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.formats.rle import EncodedMasks, encoded
from mmlabelpenet.structures import pseudo_instances
from mmlabelpenet.workbench.proposal_writer import write_proposals

PROPOSALS, INSTANCES, HEIGHT, WIDTH = 500, 2, 480, 640
READ = 1000  # number of loaded images


def measure(folder: Path, images: int, step: str) -> dict[str, float]:
    """Run one step."""
    libraries, start = resident(), time.perf_counter()
    names = [f'train2017/{number:012d}' for number in range(images)]
    if step == 'write-proposals':
        write_proposals(folder / 'proposals.npz', records(names), dict(split='train2017'))
    elif step == 'write-store':
        write_store(folder / 'labels.json', names)
    else:
        file, store = ProposalFile(folder / 'proposals.npz'), PseudoLabelStore.load(folder / 'labels.json')
        if step == 'load':
            drawn = np.random.default_rng(0).choice(images, READ, replace=False).tolist()
            for _ in range(2):  # the first run fills the system's file cache
                start = time.perf_counter()
                for number in drawn:
                    file.get(names[number]), store.instances(names[number])
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return dict(seconds=seconds, peak=peak - libraries, after=resident() - libraries)


def resident() -> int:
    """Memory of this process, in bytes."""
    return int(Path('/proc/self/statm').read_text(encoding='utf-8').split()[1]) * resource.getpagesize()


def records(names: list[str]) -> Iterator[ProposalRecord]:
    """Random boxes for each image."""
    rng = np.random.default_rng(0)
    for name in names:
        corner = rng.integers(0, (WIDTH - 20, HEIGHT - 20), (PROPOSALS, 2))
        far = corner + rng.integers(16, 20, (PROPOSALS, 2))
        yield ProposalRecord(name, (HEIGHT, WIDTH), np.concatenate([corner, far], 1).astype(np.float32), np.ones(PROPOSALS, np.float32))


def write_store(path: Path, names: list[str]) -> None:
    """Some ellipses for each image, the same for all."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    masks = [((rows - 240) / (40 * k)) ** 2 + ((columns - 320) / (90 * k)) ** 2 < 1 for k in range(1, INSTANCES + 1)]
    boxes = torch.tensor([[320.0 - 90 * k, 240 - 40 * k, 320 + 90 * k, 240 + 40 * k] for k in range(1, INSTANCES + 1)])
    labels = pseudo_instances(boxes, torch.arange(INSTANCES), np.stack(masks), torch.ones(INSTANCES))
    labels.masks = EncodedMasks([encoded(mask) for mask in masks], (HEIGHT, WIDTH))
    writer = PseudoLabelWriter(path, dict(stage='detection'))
    for name in names:
        writer.add(name, f'{name}.jpg', (HEIGHT, WIDTH), labels)
    writer.finish(names, tuple(f'class{k}' for k in range(80)))


if __name__ == '__main__':
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])) + '\n')
