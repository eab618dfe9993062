"""From your own images and tags to boxes and masks, with one command per step:

    python tools/own_data.py init DIR --images IMAGES --tags tags.csv       check everything, create a data set in DIR
    python tools/own_data.py proposals DIR                                  compute class-agnostic boxes by selective search
    python tools/own_data.py train DIR                                      write DIR/config.py and train with it
    python tools/own_data.py export DIR --format yolo                       label all images and export the labels
    python tools/own_data.py import DIR LABELS                              import corrected labels, to train or to evaluate

Each step can be interrupted and run again.
"""

import argparse
import os
import shlex
from collections import Counter
from pathlib import Path

from mmlabelpenet.options import ConfigOptions, decimal, seed, share, whole
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import command, new_parser, say

NAMES = ('own-data', 'python tools/own_data.py')  # as a command of mmlabelpenet, and as a script
FORMATS = ('coco', 'yolo', 'voc', 'labelme')
SEARCH_SIDE = 500


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = new_parser(__doc__, *NAMES)
    steps = parser.add_subparsers(dest='step', required=True)
    init = steps.add_parser('init', help='check images and tags, create a data set')
    init.add_argument('dir', type=Path, help='the new folder')
    init.add_argument('--images', required=True, type=Path, help='folder of images, with or without subfolders')
    init.add_argument(
        '--tags',
        required=True,
        help='a table (.csv, .xlsx), JSON, a Label Studio or CVAT export, a folder of annotations (only names are read), '
        'or folder-per-class',
    )
    init.add_argument('--test-share', type=share, default=0.1, help='fraction of the images used for testing, per class (default: 0.1)')
    init.add_argument(
        '--max-side', type=whole(0), default=1600, help='downscale larger images to this longer side, 0 for none (default: 1600)'
    )
    init.add_argument('--seed', type=seed, default=0, help='random seed of the test split (default: 0)')
    init.add_argument('--skip', action='store_true', help='skip unreadable images, and images and entries that do not match')
    proposals = steps.add_parser('proposals', help='make proposals')
    proposals.add_argument('dir', type=Path)
    proposals.add_argument(
        '--workers', type=whole(1), default=len(os.sched_getaffinity(0)), help='number of processes (default: one per core)'
    )
    train = steps.add_parser('train', help='write a config if there is none, and train')
    train.add_argument('dir', type=Path)
    train.add_argument('--write-only', action='store_true', help='only write the config, so that you can edit it first')
    train.add_argument('--cfg-options', action=ConfigOptions)
    export = steps.add_parser('export', help='label all images')
    export.add_argument('dir', type=Path)
    export.add_argument('--format', choices=FORMATS, required=True)
    export.add_argument('--stage', help='stage that labels the images (default: the last)')
    export.add_argument(
        '--min-score',
        type=decimal(0, 1),
        default=0.8,
        help='minimum score of an instance; the best one of each tag is always kept (default: 0.8)',
    )
    export.add_argument('--val-share', type=share, default=0.1, help='fraction of the images used for validation (default: 0.1)')
    export.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU if there is one)')
    back = steps.add_parser('import', help='import labels that were corrected or drawn by hand')
    back.add_argument('dir', type=Path)
    back.add_argument('labels', type=Path, help='folder of LabelMe files, a COCO, VOC or YOLO folder, or a COCO file')
    back.add_argument('--format', choices=FORMATS, help='format of the labels (default: detected)')
    return parser.parse_args(argv)


def quote(path: Path) -> str:
    """A path, quoted for a command.

    >>> quote(Path('my photos'))
    "'my photos'"
    """
    return shlex.quote(str(path))


def init(args: argparse.Namespace) -> None:
    """Create the data set and summarise its content."""
    from mmlabelpenet.workbench.own_data.dataset import make_own_data

    data, warnings = make_own_data(args.dir, args.images, args.tags, args.test_share, args.seed, args.max_side, args.skip)
    tags = read_tags(args.dir)
    counts = {split: Counter(label for name in names for label in tags[name]) for split, names in data.splits.items()}
    width = max(map(len, [*data.classes, 'images']))
    say(f'{"":{width}}  {"train":>7}{"test":>7}{"new":>7}')
    for label, name in enumerate(data.classes):
        say(f'{name:{width}}  {counts["train"][label]:7}{counts["test"][label]:7}{"":>7}')
    say(f'{"images":{width}}  ' + ''.join(f'{len(names):7}' for names in data.splits.values()))
    if data.converted:
        say(f'{counted(len(data.converted), "image", "was")} converted, see {args.dir}/own_data.json.')
    for text in warnings:
        say(f'Note: {text.strip()}')
    say(f'\nNext: {command(*NAMES)} proposals {quote(args.dir)}')


def read_tags(root: Path) -> dict[str, list[int]]:
    """Labels of every image of a data set."""
    from mmlabelpenet.datasets.voc import VOCImages
    from mmlabelpenet.workbench.own_data.dataset import OwnData

    data = OwnData.load(root)
    devkit = VOCImages(root, data.classes)
    found = [devkit.tags(split, root / 'tags.csv') for split, names in data.splits.items() if names]
    return {name: labels for part in found for name, labels in part.items()}


def proposals(args: argparse.Namespace) -> None:
    """Compute the proposals of every non-empty split."""
    from mmlabelpenet.commands import selective_search
    from mmlabelpenet.workbench.own_data.dataset import OwnData

    data = OwnData.load(args.dir)
    for split in [name for name, members in data.splits.items() if members]:
        words = [args.dir, split, data.proposals(split), '--max-side', SEARCH_SIDE, '--workers', args.workers]
        selective_search.main(list(map(str, words)))
    say(f'\nNext: {command(*NAMES)} train {quote(args.dir)}')


def train(args: argparse.Namespace) -> None:
    """Write the config unless there is one, then train, or continue training."""
    from mmlabelpenet.workbench.own_data.dataset import OwnData

    data, path = OwnData.load(args.dir), args.dir / 'config.py'
    missing = [split for split, members in data.splits.items() if members and not data.proposals(split).is_file()]
    if missing:
        raise FileNotFoundError(f'There are no proposals for {", ".join(missing)}. First run {command(*NAMES)} proposals {quote(args.dir)}')
    from mmlabelpenet import apis
    from mmlabelpenet.apis.config import planned_iterations
    from mmlabelpenet.files import locked
    from mmlabelpenet.workbench.own_data.config import Hardware, write_config

    if path.exists():
        say(f'Using {path}')
    else:
        hardware = Hardware.here()
        iterations = planned_iterations(write_config(data, hardware, path))
        say(f'Wrote {path} for {counted(len(data.splits["train"]), "image")} and {hardware}: {iterations} iterations.')
    if args.write_only:
        return
    config = apis.load_config(path, args.cfg_options)
    resumed = (Path(config.work_dir) / 'last_checkpoint').exists()
    if not resumed:
        from mmlabelpenet.workbench.own_data.duration import measure_steps, told

        with locked(config.work_dir):  # checks before the work that the output can be written
            duration = measure_steps(config)
        say(told(duration))
    apis.train(config, resume='auto' if resumed else None)
    say(f'\nNext: {command(*NAMES)} export {quote(args.dir)} --format coco')


def export(args: argparse.Namespace) -> None:
    """Label all images and write the labels."""
    from mmlabelpenet.datasets.voc import VOCImages
    from mmlabelpenet.workbench.own_data.dataset import OwnData

    data = OwnData.load(args.dir)
    devkit = VOCImages(args.dir, data.classes)
    images = {name: devkit.image_path(name) for names in data.splits.values() for name in names}
    from mmlabelpenet.apis import LabelPENetInferencer
    from mmlabelpenet.commands import browse
    from mmlabelpenet.commands import export as export_labels
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
    from mmlabelpenet.files import locked
    from mmlabelpenet.workbench.own_data.labelling import label_images, refuse_unreadable

    try:
        inferencer = LabelPENetInferencer(args.dir / 'work_dir', device=args.device)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{args.dir} has not been trained. First run {command(*NAMES)} train {quote(args.dir)}') from error
    if inferencer.classes != data.classes:
        trained, own = ', '.join(inferencer.classes), ', '.join(data.classes)
        raise ValueError(f'The network was trained with the classes {trained}, but {args.dir} has {own}, in this order. Train again.')
    store = args.dir / 'labels.json'
    tags = {name: labels for name, labels in read_tags(args.dir).items() if labels}
    with locked(store):
        earlier = PseudoLabelStore.load(store) if store.is_file() else None  # another format needs no new prediction
        labelled, unreadable = label_images(inferencer, images, store, tags, args.stage, args.min_score, earlier=earlier)
    refuse_unreadable(unreadable, len(labelled))
    out = args.dir / 'export' / args.format
    words = [store, '--format', args.format, '--out', out, '--images', args.dir / 'JPEGImages']
    words += [] if args.format == 'labelme' else ['--val-share', args.val_share]
    export_labels.main(list(map(str, words)))
    say(f'To inspect them: {command(*browse.NAMES)} {quote(store)} --images {quote(args.dir / "JPEGImages")}')


def take_back(args: argparse.Namespace) -> None:
    """Import labels and say how to use them."""
    from mmlabelpenet.commands import test
    from mmlabelpenet.workbench.own_data.importing import import_labels

    found = import_labels(args.dir, args.labels, args.format)
    counts = ', '.join(f'{count} of {split}' for split, count in found.images.items() if count)
    say(
        f'{counted(found.objects, "object")} in {counted(sum(found.images.values()), "image")} ({counts}); {found.as_exported} of them '
        f'{"is" if found.as_exported == 1 else "are"} unchanged since the export.'
    )
    if found.store is None:
        say(
            f'{counted(found.missing, "image of train", "has")} no labels, so no label store for training was written. Export all images '
            'first, or label these too.'
        )
    else:
        say(f"To train a stage on them, set pseudo_labels='{found.store}' in its phase in {args.dir}/config.py")
    if found.images['test'] and found.as_exported == found.objects:
        say('All labels are unchanged predictions of the network: evaluating it on them would be meaningless.')
    elif found.images['test']:
        say(f'To evaluate on them: {command(*test.NAMES)} {quote(args.dir / "config.py")} {quote(args.dir / "work_dir/CHECKPOINT")}')


def main(argv: list[str] | None = None) -> None:
    """Run one step."""
    args = parse_args(argv)
    {'init': init, 'proposals': proposals, 'train': train, 'export': export, 'import': take_back}[args.step](args)
