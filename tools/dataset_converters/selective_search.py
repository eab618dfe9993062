"""Compute the proposals of an image list; see mmlabelpenet/commands/selective_search.py, or --help."""

from mmlabelpenet.commands.selective_search import main, parse_args
from mmlabelpenet.terminal import AGAIN, run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main, AGAIN)
