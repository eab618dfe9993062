"""Write pseudo labels in another program's format; see mmlabelpenet/commands/export.py, or --help."""

from mmlabelpenet.commands.export import main, parse_args
from mmlabelpenet.terminal import run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main)
