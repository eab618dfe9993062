"""Make a page to look through pseudo labels: python tools/analysis_tools/browse_pseudo_labels.py --help (mmlabelpenet/commands/browse.py)."""

from mmlabelpenet.commands.browse import main, parse_args
from mmlabelpenet.terminal import run

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    run(main)
