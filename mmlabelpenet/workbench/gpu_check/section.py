"""The process of one section. Its arguments are a function as ``MODULE:FUNCTION``, its settings as JSON, and the file for its findings."""

import sys
from importlib import import_module

import msgspec

from mmlabelpenet.terminal import run
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings


def main() -> None:
    """Call the function with its settings and a notebook."""
    function, settings, found = sys.argv[1:]
    module, _, name = function.partition(':')
    getattr(import_module(module), name)(msgspec.json.decode(settings, type=Settings), Notebook(found))


if __name__ == '__main__':
    run(main)
