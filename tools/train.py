"""Train a config: python tools/train.py --help (mmlabelpenet/commands/train.py)."""

from mmlabelpenet.commands.train import main, parse_args
from mmlabelpenet.terminal import run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main)
