"""Make the proposals of an image list: python tools/dataset_converters/selective_search.py --help (mmlabelpenet/commands/selective_search.py)."""

from mmlabelpenet.commands.selective_search import main, parse_args
from mmlabelpenet.terminal import AGAIN, run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main, AGAIN)
