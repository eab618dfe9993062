"""Strip a checkpoint of what only resuming needs: python tools/model_converters/publish.py work_dirs/X/iter_280000.pth --out published.

The file is named by its hash, and carries config, classes, seed, commit and versions. It is read with torch.load(weights_only=True),
and by tools/test.py, mmlabelpenet.predict and load_from like any checkpoint.
"""

import argparse
from pathlib import Path

from mmlabelpenet.terminal import run


def main(argv: list[str] | None = None) -> None:
    """Write the file and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='what training wrote, <work dir>/iter_<n>.pth')
    parser.add_argument('--out', default='.', metavar='DIR', help='folder to write to (default: here)')
    args = parser.parse_args(argv)
    from mmlabelpenet.apis.published import publish

    target = publish(args.checkpoint, args.out)
    before, after = (Path(path).stat().st_size / 2**20 for path in (args.checkpoint, target))
    print(f'{target}: {after:.1f} MiB of {before:.1f} MiB')


if __name__ == '__main__':
    run(main)
