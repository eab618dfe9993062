"""Render the quickstart data set into a folder in VOC layout.

python tools/dataset_converters/render_voc.py data/rendered --train 320 --test 100
"""

import dataclasses

from mmlabelpenet.options import Parser
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES, RenderSettings, render_dataset


def parse_args(argv: list[str] | None = None) -> tuple[str, RenderSettings]:
    """Read the command line: the folder, and one option for each field of RenderSettings."""
    parser = Parser(description=__doc__)
    parser.add_argument('root', help='output folder for Annotations, JPEGImages, ...')
    for field in dataclasses.fields(RenderSettings):
        option = '--' + field.name.removeprefix('num_').replace('_', '-')
        parser.add_argument(option, dest=field.name, type=type(field.default), default=field.default, help=f'default {field.default}')
    values = vars(parser.parse_args(argv))
    return values.pop('root'), RenderSettings(**values)


def main(argv: list[str] | None = None) -> None:
    """Render and summarise the result."""
    root, settings = parse_args(argv)
    render_dataset(root, settings)
    say(
        f'{root}: {counted(settings.num_train, "training image")} and {counted(settings.num_test, "test image")} of '
        f'{", ".join(RENDERED_CLASSES)}'
    )


if __name__ == '__main__':
    run(main)
