"""Write an HTML page to browse pseudo labels; see mmlabelpenet/commands/browse.py, or --help."""

from mmlabelpenet.commands.browse import main, parse_args
from mmlabelpenet.terminal import run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main)
