import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # training


@pytest.fixture(scope='session', autouse=True)
def _no_compilers():
    """Each runner asks compilers for their versions, for longer than it trains."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.runner.runner.collect_env', dict)
        yield
