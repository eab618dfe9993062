"""Train or test one config or many on several GPUs; see mmlabelpenet/commands/launch.py, or --help."""

import sys

from mmlabelpenet.commands.launch import AGAIN, main
from mmlabelpenet.terminal import run

__all__ = ['main']

if __name__ == '__main__':
    run(lambda: sys.exit(main()), AGAIN)
