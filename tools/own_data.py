"""From your own images and tags to boxes and masks; see mmlabelpenet/commands/own_data.py, or --help."""

from mmlabelpenet.commands.own_data import main, parse_args
from mmlabelpenet.terminal import AGAIN, run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main, AGAIN)
