"""Compute the proposals of an image list with OpenCV's selective search.

    python tools/dataset_converters/selective_search.py data/VOCdevkit/VOC2007 trainval data/proposals/voc07_trainval.npz

Run the same command again to continue an interrupted run; a complete file is not changed. The content of the file depends only on the
images and the settings. The work can be distributed over machines: --shard 3/16 writes OUT.3of16.npz, and finally --merge 16 merges all
shards (tools/slurm_proposals.sh).
"""

import argparse
import json
import multiprocessing
import os
import shutil
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmlabelpenet.datasets.proposals import ProposalFile, ProposalRecord
from mmlabelpenet.evaluation.devkit import Devkit, open_devkit
from mmlabelpenet.evaluation.proposal_report import describe_proposals
from mmlabelpenet.files import atomic_write, file_hash, locked, make_folder
from mmlabelpenet.formats.file_names import below, fitted
from mmlabelpenet.formats.images import read_image
from mmlabelpenet.formats.mapped_arrays import ArrayFile
from mmlabelpenet.ops.selective_search import SelectiveSearchSettings, opencv_search, shrunk_search
from mmlabelpenet.options import whole
from mmlabelpenet.processes import end_with
from mmlabelpenet.progress import ProgressBar
from mmlabelpenet.schema import counted, read_json, reason
from mmlabelpenet.terminal import new_parser, say
from mmlabelpenet.workbench.proposal_writer import write_proposals

NAMES = ('proposals', 'python tools/dataset_converters/selective_search.py')  # as a command of mmlabelpenet, and as a script
_FORMAT = 1  # increase when the same settings give other proposals


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    defaults = SelectiveSearchSettings()
    parser = new_parser(__doc__, *NAMES)
    parser.add_argument('data_root', help='folder with ImageSets and JPEGImages, such as data/VOCdevkit/VOC2007')
    parser.add_argument('split', help='image list in ImageSets/Main or ImageSets/Segmentation')
    parser.add_argument('out', type=Path, help='proposal file to write, .npz')
    parser.add_argument('--mode', default=defaults.mode, choices=('fast', 'quality', 'single'), help='strategy (default: %(default)s)')
    parser.add_argument(
        '--min-size', type=whole(0), default=defaults.min_size, help='minimum side of a proposal in pixels (default: %(default)s)'
    )
    parser.add_argument(
        '--max-proposals', type=whole(0), default=defaults.max_proposals, help='maximum number per image, 0 for all (default: 0)'
    )
    parser.add_argument(
        '--max-side', type=whole(0), default=0, help='downscale larger images to this longer side for the search, 0 for none (default: 0)'
    )
    parser.add_argument(
        '--workers', type=whole(1), default=len(os.sched_getaffinity(0)), help='number of processes (default: one per core)'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an existing file, or partial results with other settings')
    shards = parser.add_mutually_exclusive_group()
    shards.add_argument('--shard', type=shard, metavar='K/N', help='process only the K-th of N shards of the list, and write OUT.KofN.npz')
    shards.add_argument('--merge', type=whole(1), metavar='N', help='merge the files of N shards, which are then removed')
    args = parser.parse_args(argv)
    if args.out.suffix != '.npz':
        parser.error(f'the proposal file must end in .npz, got {args.out}')
    return args


def shard(text: str) -> tuple[int, int]:
    """Shard number and number of shards.

    >>> shard('3/16')
    (3, 16)
    """
    number, _, count = text.partition('/')
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"expected K/N with 1 <= K <= N, such as 3/16, got '{text}'")
    return int(number), int(count)


def shard_path(out: Path, number: int, count: int) -> Path:
    """The file of a shard.

    >>> shard_path(Path('voc07.npz'), 3, 16).as_posix()
    'voc07.3of16.npz'
    """
    return out.with_name(f'{out.stem}.{number}of{count}.npz')


def main(argv: list[str] | None = None) -> None:
    """Create the file unless it exists, then report statistics."""
    args = parse_args(argv)
    devkit = open_devkit(args.data_root, classes=())
    image_ids = devkit.image_ids(args.split)
    search = SelectiveSearchSettings(args.mode, args.min_size, args.max_proposals)
    settings = {'method': 'selective search', 'split': args.split, **asdict(search), 'opencv': cv2.__version__, 'format': _FORMAT}
    settings |= {'max_side': args.max_side} if args.max_side else {}
    if args.shard:
        number, count = args.shard
        image_ids, args.out = image_ids[number - 1 :: count], shard_path(args.out, number, count)
        settings['shard'] = f'{number}/{count}'
        if not image_ids:
            raise ValueError(f'The list has fewer images than shards: shard {number} of {count} is empty. Use fewer shards.')
    with locked(args.out):
        complete = is_complete(args, devkit, image_ids, settings)
        if not complete and args.merge:
            merge_shards(args, image_ids, settings)
        elif not complete:
            opencv_search()  # if it is missing, nothing is written
            parts = open_parts(args, settings)
            make_parts(devkit, image_ids, search, parts, args.workers, args.max_side)
            write_proposals(args.out, (read_part(parts, image_id) for image_id in image_ids), settings)
            shutil.rmtree(parts)
    say('\n'.join(describe_proposals(devkit, image_ids, ProposalFile(args.out, args.data_root, args.split))))


def is_complete(args: argparse.Namespace, devkit: Devkit, image_ids: list[str], settings: dict[str, object]) -> bool:
    """Whether the requested file exists; raises ValueError if a file with other settings or images exists and may not be overwritten."""
    if args.overwrite or not args.out.exists():
        return False
    present = ProposalFile(args.out, args.data_root, args.split)
    if present.settings != settings or present.image_ids != sorted(image_ids):
        raise ValueError(
            f'{str(args.out)!r} contains other proposals: {present.settings}, {counted(len(present), "image")}; requested are {settings}, '
            f'{counted(len(image_ids), "image")}. Remove the file, choose another one, or run selective_search.py with --overwrite.'
        )
    for name in image_ids:
        present.check_image(name, devkit.image_path(name))
    return True


def merge_shards(args: argparse.Namespace, image_ids: list[str], settings: dict[str, object]) -> None:
    """Merge the files of all shards, and remove them.

    Raises:
        FileNotFoundError: one is missing.
        ValueError: they have other settings or other images.
    """
    paths = {number: shard_path(args.out, number, args.merge) for number in range(1, args.merge + 1)}
    if missing := [str(path) for path in paths.values() if not path.is_file()]:
        shards = counted(len(missing), 'shard', 'is', of=args.merge)
        raise FileNotFoundError(f'{shards} missing, the first: {missing[0]!r}. Create them with --shard.')
    files = {number: ProposalFile(path, args.data_root, args.split) for number, path in paths.items()}
    for number, file in files.items():
        wanted = settings | {'shard': f'{number}/{args.merge}'}
        if file.settings != wanted or file.image_ids != sorted(image_ids[number - 1 :: args.merge]):
            raise ValueError(
                f'{str(file.path)!r} belongs to another list or other settings: {file.settings}; requested are {wanted}. Compute it again.'
            )
    records = (
        ProposalRecord(name, file.size(name), *file.get(name), file.image_hash(name)) for file in files.values() for name in file.image_ids
    )
    write_proposals(args.out, records, settings)
    for path in paths.values():
        path.unlink()


def open_parts(args: argparse.Namespace, settings: dict[str, object]) -> Path:
    """The folder with results of finished images, next to the file.

    Raises:
        ValueError: it was started with other settings and may not be overwritten, or is a folder of another kind.
    """
    parts = args.out.with_name(args.out.name + '.parts')
    marker = parts / 'settings.json'
    if marker.exists() and not args.overwrite:
        begun = read_json(marker, dict[str, Any], 'settings of a search', f'Remove {str(parts)!r} or add --overwrite.')
        if begun != settings:
            raise ValueError(f'{str(parts)!r} was started with {begun}, requested are {settings}. Remove it or add --overwrite.')
    elif marker.exists():
        shutil.rmtree(parts)
    elif parts.exists() and any(not path.name.startswith('.settings.json.') for path in parts.iterdir()):
        raise ValueError(f'Expected partial proposals in {str(parts)!r}, got a folder without settings.json. Move it, or delete it.')
    make_folder(parts)
    with atomic_write(marker) as file:
        file.write(json.dumps(settings))
    return parts


def make_parts(devkit: Devkit, image_ids: list[str], search: SelectiveSearchSettings, parts: Path, workers: int, max_side: int = 0) -> None:
    """Search every image that has no result yet or has changed, with a progress bar."""
    found = [name for name in image_ids if part_path(parts, name).exists()]
    done = {name for name in found if read_part(parts, name).sha256 in ('', file_hash(devkit.image_path(name)))}
    jobs = [(name, devkit.image_path(name), search, parts, max_side) for name in image_ids if name not in done]
    with ProgressBar('images', len(image_ids), done=len(done)) as bar:
        for _ in run_jobs(jobs, min(workers, len(jobs))):
            bar.advance()


def run_jobs(jobs: list[tuple[str, Path, SelectiveSearchSettings, Path, int]], workers: int) -> Iterator[str]:
    """Search images in this process or in several.

    Raises:
        ValueError: a process was killed, for example because the system ran out of memory.
    """
    if workers <= 1:
        cv2.setNumThreads(1)
        yield from map(search_one, jobs)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context('fork'), initializer=start_worker, initargs=(os.getpid(),))
    try:
        yield from pool.map(search_one, jobs)
    except BrokenProcessPool as error:
        raise ValueError(
            f'One of {workers} search processes was killed, possibly because memory ran out. Results so far are kept: run the same command '
            'again, with fewer --workers.'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker(parent: int) -> None:
    """Use one thread per process; end with the parent, even if it is killed."""
    cv2.setNumThreads(1)
    end_with(parent)


def search_one(job: tuple[str, Path, SelectiveSearchSettings, Path, int]) -> str:
    """Search one image and store the result: an ``.npz`` with checksums, containing ``size`` (h, w), ``bboxes`` and the image's ``sha256``.

    Raises:
        ValueError: the image cannot be read.
    """
    image_id, path, search, parts, max_side = job
    image = read_image(path)
    bboxes = shrunk_search(image, search, max_side)
    with atomic_write(part_path(parts, image_id), 'wb') as file:
        np.savez(file, size=np.array(image.shape[:2]), bboxes=bboxes, sha256=np.array(file_hash(path)))
    return image_id


def part_path(parts: Path, image_id: str) -> Path:
    """The temporary file of an image's proposals."""
    return below(parts, f'{fitted(image_id, 4)}.npz', links=False)


def read_part(parts: Path, image_id: str) -> ProposalRecord:
    """Read the result of :func:`search_one`; raises ValueError if it is damaged."""
    path = part_path(parts, image_id)
    try:
        part = ArrayFile(path)
        (h, w), bboxes = part.load('size').tolist(), part.load('bboxes')
        sha256 = str(part.load('sha256')) if 'sha256' in part else ''  # results of earlier versions lack it
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise ValueError(f'{str(path)!r} is damaged ({reason(error)}). Remove it, then run the same command again.') from error
    return ProposalRecord(image_id, (h, w), bboxes, np.ones(len(bboxes), np.float32), sha256)
