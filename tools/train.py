"""Train a config; see mmlabelpenet/commands/train.py, or --help."""

from mmlabelpenet.commands.train import main, parse_args
from mmlabelpenet.terminal import run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main)
