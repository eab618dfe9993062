"""The command of the check."""

from mmlabelpenet.terminal import run


def main() -> int:
    """Run it; a missing package gives a one-line error."""
    from mmlabelpenet.workbench.gpu_check.check import main

    return main()


if __name__ == '__main__':
    run(main)
