"""Import mmdet's data sets and metrics without its messages about optional packages that are not needed here."""

import warnings
from contextlib import redirect_stdout

with redirect_stdout(None), warnings.catch_warnings():
    warnings.filterwarnings('ignore', '.*is not installed')
    import mmdet.evaluation  # noqa: F401
