"""Test a checkpoint; see mmlabelpenet/commands/test.py, or --help."""

from mmlabelpenet.commands.test import main, parse_args
from mmlabelpenet.terminal import run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main)
