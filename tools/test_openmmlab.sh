#!/usr/bin/env bash
# Run the tests on OpenMMLab's original packages (mmdet 3.3, mmengine 0.10, mmcv 2.1): bash tools/test_openmmlab.sh [arguments of pytest]
# They are installed into .venv-openmmlab, which takes precedence over .venv and does not change it.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,3s/^# //p' "$0"; exit ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC1091
source tools/setup_env.sh

folder=$PWD/.venv-openmmlab
if ! cmp -s requirements/openmmlab.txt "$folder/openmmlab.txt"; then
    rm -rf "$folder"
    pip install -q --no-deps --target "$folder" -r requirements/openmmlab.txt
    cp requirements/openmmlab.txt "$folder"
fi
export PYTHONPATH="$folder:$PWD${PYTHONPATH:+:$PYTHONPATH}"
python -c 'import mmcv, mmdet, mmengine; print("mmdet", mmdet.__version__, "mmengine", mmengine.__version__, "mmcv", mmcv.__version__)'
python -m pytest -q -rs "$@"
