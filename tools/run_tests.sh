#!/usr/bin/env bash
# Install everything, then lint, check the layers and run all tests and docstring examples on all cores. Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh
unset PYTHON # scripts run by the tests use the environment, not the interpreter that created it
ruff check .
ruff format --check .
lint-imports
python -m pytest -q -rs -n auto --dist worksteal "$@"
