"""The command of the check."""

from mmlabelpenet.terminal import run


def main() -> int:
    """Run it; a package that is missing is one line."""
    from mmlabelpenet.workbench.gpu_check.check import main

    return main()


if __name__ == '__main__':
    run(main)
