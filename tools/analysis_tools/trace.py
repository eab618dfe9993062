"""Show one image from its tags to its result: python tools/analysis_tools/trace.py CONFIG CHECKPOINT IMAGE.

IMAGE is the name of an image in the config's training or test list, or any file with --tags. There is one row per stage: scores of the
proposals, attention of each tag, the masks after the CRF, the pseudo instances with their weights, and the prediction of the stage.
"""

import argparse
from pathlib import Path

from mmlabelpenet.options import Parser, decimal, whole
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of the training')
    parser.add_argument('image', help='image name, or a file')
    parser.add_argument('--tags', nargs='+', metavar='CLASS', help="tags of a file, or tags to use instead of the image's own")
    parser.add_argument('--out', type=Path, default=Path('trace.png'), help='.png, .webp, or .html for a page (default: trace.png)')
    parser.add_argument('--width', type=whole(16), default=320, help='width of each tile (default: 320)')
    parser.add_argument('--min-score', type=decimal(0, 1), default=0.3, help='minimum score of a drawn detection (default: 0.3)')
    parser.add_argument('--blank', action='store_true', help='omit the image itself, if it cannot be published')
    args = parser.parse_args(argv)
    if args.out.suffix not in ('.png', '.webp', '.html'):
        parser.error(f'--out must end in .png, .webp or .html, got {args.out}')
    return args


def find_data(inferencer, image: str, tags: list[str] | None):
    """The packed sample, and the devkit of the image, if any.

    Raises:
        ValueError: an unknown class, no such image, or no tags.
    """
    from mmlabelpenet.apis.config import build_dataset, config_devkit
    from mmlabelpenet.formats.tag_files import unknown_tag

    classes = inferencer.classes
    for name in tags or ():
        if name not in classes:
            raise unknown_tag(name, classes, '--tags')
    labels = [classes.index(name) for name in tags or ()]
    if Path(image).is_file():
        if not labels:
            raise ValueError(f'{image!r} is a file: pass its tags with --tags. Classes: {", ".join(classes)}.')
        return inferencer.prepare(image, tags=labels), None
    for loader in ('label', 'test'):
        if inferencer.config.get(f'{loader}_dataloader') is None:
            continue
        dataset = build_dataset(inferencer.config, loader)
        for index in range(len(dataset)):
            if dataset.get_data_info(index)['img_id'] == image:
                data = dataset[index]
                if tags:
                    data['data_samples'].gt_image_labels.onehot.zero_()[labels] = 1
                return data, config_devkit(inferencer.config, loader)
    raise ValueError(f'{image!r} is neither a file nor an image of the training or test list of the config.')


def main(argv: list[str] | None = None) -> None:
    """Load, trace and write."""
    args = parse_args(argv)
    import cv2

    from mmlabelpenet.apis import LabelPENetInferencer
    from mmlabelpenet.files import atomic_write, require_place
    from mmlabelpenet.workbench.report.page import write_page
    from mmlabelpenet.workbench.report.tiles import stack
    from mmlabelpenet.workbench.report.trace import trace

    require_place(args.out)
    inferencer = LabelPENetInferencer(args.config, args.checkpoint)
    data, devkit = find_data(inferencer, args.image, args.tags)
    scale = args.width / data['data_samples'].ori_shape[1]
    rows = trace(inferencer.model, data, inferencer.classes, devkit, args.min_score, scale, args.blank)
    if args.out.suffix == '.html':
        title = f'Trace of {data["data_samples"].img_id}'
        write_page(args.out, 'trace.html', title=title, classes=inferencer.classes, rows=rows)
    else:
        with atomic_write(args.out, 'wb') as file:
            file.write(cv2.imencode(args.out.suffix, stack(list(rows.values()))[..., ::-1])[1].tobytes())
    say(f'Wrote {args.out}')


if __name__ == '__main__':
    run(main)
