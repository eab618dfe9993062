"""The evaluation commands show their help immediately, without importing a framework."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
NAMES = (
    'eval_predictions',
    'voc_submission',
    'collect_results',
    'pseudo_label_quality',
    'audit_supervision',
    'trivial_baselines',
    'mil_mass',
)


@pytest.mark.parametrize('name', NAMES)
def test_help_names_the_command_and_loads_no_framework(name):
    path = TOOLS / 'analysis_tools' / f'{name}.py'
    code = f"""
import runpy, sys
sys.argv = [{path.name!r}, '--help']
try:
    runpy.run_path({str(path)!r}, run_name='__main__')
except SystemExit as end:
    sys.exit(end.code or bool({{'torch', 'mmengine', 'mmdet', 'numpy'}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert f'python tools/analysis_tools/{name}.py' in result.stdout
