"""mmdet's data sets and metrics, imported without its remarks on optional packages that nothing here needs."""

import warnings
from contextlib import redirect_stdout

with redirect_stdout(None), warnings.catch_warnings():
    warnings.filterwarnings('ignore', '.*is not installed')
    import mmdet.evaluation  # noqa: F401
