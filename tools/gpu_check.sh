#!/usr/bin/env bash
# Check, benchmark and train on a GPU for a few minutes: bash tools/gpu_check.sh [--minutes 8] [--data DEVKIT] [--out DIR] [--device cuda|cpu]
# Needs an environment with the package's requirements; PYTHON selects an interpreter other than python.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exec env PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" "${PYTHON:-python}" -m mmlabelpenet.workbench.gpu_check "$@"
