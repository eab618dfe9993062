"""Reading configs."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmlabelpenet.apis import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/labelpenet'


def test_a_config_writes_itself_without_yapf_and_reads_back_as_it_was(monkeypatch, tmp_path):
    config = load_config(CONFIGS / 'labelpenet_lite0_rendered.py', {'randomness.seed': 7})
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda *args, **kwargs: pytest.fail('formatted'))
    (tmp_path / 'dumped.py').write_text(config.pretty_text)
    dumped = Config.fromfile(str(tmp_path / 'dumped.py'))
    assert dumped.to_dict() == config.to_dict() and dumped.randomness.seed == 7
