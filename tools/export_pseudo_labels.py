"""Export pseudo labels in the format of another program; see mmlabelpenet/commands/export.py, or --help."""

from mmlabelpenet.commands.export import main, parse_args
from mmlabelpenet.terminal import run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main)
