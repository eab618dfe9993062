import importlib.util
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture
def load_tool(monkeypatch):
    """Import a script of tools/ by its path there."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f'tool_{Path(name).stem}', TOOLS / name)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # worker processes look their functions up there
        spec.loader.exec_module(module)
        return module

    return load
