"""``python -m mmlabelpenet`` is the command ``mmlabelpenet``."""

from mmlabelpenet.commands.console import main

if __name__ == '__main__':
    main()
