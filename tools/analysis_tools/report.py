"""Write report.html into a work dir: python tools/analysis_tools/report.py --help (mmlabelpenet/commands/report.py)."""

from mmlabelpenet.commands.report import main
from mmlabelpenet.terminal import run

__all__ = ['main']

if __name__ == '__main__':
    run(main)
