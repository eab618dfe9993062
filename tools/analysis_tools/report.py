"""Write report.html into a work dir; see mmlabelpenet/commands/report.py, or --help."""

from mmlabelpenet.commands.report import main
from mmlabelpenet.terminal import run

__all__ = ['main']

if __name__ == '__main__':
    run(main)
