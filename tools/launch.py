"""Train or test one or more configs on several GPUs; see mmlabelpenet/commands/launch.py, or --help."""

from mmlabelpenet.commands.launch import main
from mmlabelpenet.terminal import AGAIN, run

__all__ = ['main']

if __name__ == '__main__':
    run(main, AGAIN)
