"""Write pseudo labels in another program's format: python tools/export_pseudo_labels.py --help (mmlabelpenet/commands/export.py)."""

from mmlabelpenet.commands.export import main, parse_args
from mmlabelpenet.terminal import run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main)
