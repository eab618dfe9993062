"""Convert proposals of other programs (selective search, Edge Boxes, MCG, ...) to a proposal file.

    python tools/dataset_converters/import_proposals.py SelectiveSearchVOC2007trainval.mat data/VOCdevkit/VOC2007 trainval \\
        data/proposals/voc07_trainval.npz --method "selective search"

SOURCE is a MATLAB file with one cell of boxes per image, a .npz with one array per image, a JSON file, or a folder with one .mat or .npz
per image. Boxes are read in the usual format of each kind of file: .mat as 1-based y1 x1 y2 x2 with the last pixel included (`bbs` of Edge
Boxes as x y w h), .npz and JSON as 0-based x1 y1 x2 y2, lists of COCO results as 0-based x y w h. --order, --first-pixel and --last-pixel
override the format. Boxes outside their images raise an error.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from mmlabelpenet.options import Parser, decimal
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('source', type=Path, help='file or folder of the other program')
    parser.add_argument('data_root', help='folder of the images, as for selective_search.py')
    parser.add_argument('split', help='image list')
    parser.add_argument('out', type=Path, help='proposal file to write, .npz')
    parser.add_argument('--method', default='unknown', help='method that computed the proposals, recorded in the file')
    parser.add_argument('--order', choices=('yxyx', 'xyxy', 'xywh'), help='order of the four numbers of a box')
    parser.add_argument('--first-pixel', type=int, choices=(0, 1), help='index of the first pixel of an image')
    parser.add_argument(
        '--last-pixel', choices=('inside', 'outside'), help='whether the second corner is the last pixel or the one after it'
    )
    parser.add_argument('--boxes', metavar='NAME', help='variable in .mat, or key in JSON, of the boxes')
    parser.add_argument('--images', metavar='NAME', help='variable of the image names')
    parser.add_argument('--scores', metavar='NAME', help='variable or key of the scores')
    parser.add_argument('--min-size', type=decimal(0), default=0, help='minimum side of a proposal in pixels (default: 0, keeps all)')
    parser.add_argument('--overwrite', action='store_true', help='replace the file')
    args = parser.parse_args(argv)
    if args.out.suffix != '.npz':
        parser.error(f'the proposal file must end in .npz, got {args.out}')
    return args


def main(argv: list[str] | None = None) -> None:
    """Read, check, write, report."""
    args = parse_args(argv)
    from mmlabelpenet.datasets.proposals import ProposalFile
    from mmlabelpenet.evaluation.devkit import open_devkit
    from mmlabelpenet.evaluation.proposal_report import describe_proposals
    from mmlabelpenet.files import file_hash, require_place
    from mmlabelpenet.workbench.foreign_proposals.importing import Tidied, import_record, other_orders
    from mmlabelpenet.workbench.foreign_proposals.readers import read_foreign
    from mmlabelpenet.workbench.proposal_writer import write_proposals

    if args.out.exists() and not args.overwrite:
        raise ValueError(f'{str(args.out)!r} already exists. Choose another file or add --overwrite.')
    require_place(args.out)
    devkit = open_devkit(args.data_root, classes=())
    image_ids = devkit.image_ids(args.split)
    foreign = read_foreign(args.source, image_ids, args.boxes, args.images, args.scores)
    said = dict(
        order=args.order, first_pixel=args.first_pixel, last_inside=None if args.last_pixel is None else args.last_pixel == 'inside'
    )
    layout = replace(foreign.layout, **{key: value for key, value in said.items() if value is not None})
    settings = dict(method=args.method, split=args.split, source=args.source.name, min_size=args.min_size, **vars(layout))
    sizes = {image_id: devkit.image_size(image_id) for image_id in image_ids}
    if not args.order and (others := other_orders(foreign, layout, sizes)):
        first = next(image_id for image_id in image_ids if len(foreign.boxes[image_id]))
        say(
            f'Note: all boxes would also fit as {" or ".join(others)}, and are read as {layout.order}: the first one of {first!r} as '
            f'{layout.xyxy(foreign.boxes[first][:1])[0].tolist()} (x1 y1 x2 y2). To confirm, pass --order.'
        )
    tidied = Tidied()
    made = (import_record(i, sizes[i], foreign, layout, args.min_size, tidied) for i in image_ids)
    records = (replace(record, sha256=file_hash(devkit.image_path(record.image_id))) for record in made)
    write_proposals(args.out, records, settings)
    corner = '' if layout.order == 'xywh' else f', last pixel {"included" if layout.last_inside else "excluded"}'
    say(f'boxes read as {layout.order} from pixel {layout.first_pixel}{corner}; {tidied}')
    if not foreign.named:
        say(
            f'The file has no image names: its entries were assigned in the order of {args.split!r}. A low '
            'recall suggests that this is wrong.'
        )
    say('\n'.join(describe_proposals(devkit, image_ids, ProposalFile(args.out, args.data_root, args.split))))


if __name__ == '__main__':
    run(main)
