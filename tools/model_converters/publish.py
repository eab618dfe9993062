"""Remove the state needed only for resuming from a checkpoint.

    python tools/model_converters/publish.py work_dirs/X/iter_280000.pth --out published

The file name contains its hash; the file keeps config, classes, seed, commit and versions. torch.load(weights_only=True), tools/test.py,
mmlabelpenet.predict and load_from can read it like any checkpoint.
"""

from pathlib import Path

from mmlabelpenet.options import Parser
from mmlabelpenet.terminal import run, say


def main(argv: list[str] | None = None) -> None:
    """Write the file, and report its size."""
    parser = Parser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint of a training, <work dir>/iter_<n>.pth')
    parser.add_argument('--out', default='.', metavar='DIR', help='folder to write to (default: here)')
    parser.add_argument('--stages', nargs='+', metavar='NAME', help='keep only the weights of these stages (default: all)')
    parser.add_argument('--half', action='store_true', help='store weights in float16, which halves the file size')
    args = parser.parse_args(argv)
    from mmlabelpenet.apis.published import publish

    target = publish(args.checkpoint, args.out, args.stages, args.half)
    before, after = (Path(path).stat().st_size / 2**20 for path in (args.checkpoint, target))
    say(f'{target}: {after:.1f} MiB of {before:.1f} MiB')


if __name__ == '__main__':
    run(main)
