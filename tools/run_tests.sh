#!/usr/bin/env bash
# Install everything, then lint and run all tests and docstring examples. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh
ruff check .
ruff format --check .
python -m pytest -q -rs "$@"
