#!/usr/bin/env bash
# Create an environment for each installed Python and run the tests in it: bash tools/test_pythons.sh [arguments of pytest]
# Environment: PYTHONS ("3.10 3.11 3.12 3.13 3.14"). Interpreters come from pyenv or from PATH; each environment, .venv-<version>, takes
# about 6 GB. A table with versions and results goes to work_dirs/pythons.md. Exit status 1 if tests fail, 2 if no Python is found.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,4s/^# //p' "$0"; exit ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

interpreter() {
    local pyenv=${PYENV_ROOT:-$HOME/.pyenv} found
    found=$(printf '%s\n' "$pyenv/versions/$1"*/bin/python | sort -V | tail -n 1)
    [ -x "$found" ] || found=
    echo "${found:-$(command -v "python$1" || true)}"
}

mkdir -p work_dirs
table=work_dirs/pythons.md
printf '| Python | PyTorch | MMDetection | NumPy | OpenCV | dense CRF | tests |\n| :-- | :-- | :-- | :-- | :-- | :-- | :-- |\n' >"$table"
status=2
for version in ${PYTHONS:-3.10 3.11 3.12 3.13 3.14}; do
    python=$(interpreter "$version")
    [ -n "$python" ] || continue
    [ $status -ne 2 ] || status=0
    log=work_dirs/python_$version.log
    echo "Python $version: $python, output in $log"
    if PYTHON=$python MMLABELPENET_VENV=$PWD/.venv-$version bash tools/run_tests.sh "$@" >"$log" 2>&1; then
        result=$(tail -n 1 "$log" | tr -d '=')
    else
        result="failed: $(tail -n 1 "$log" | tr -d '=')" status=1
    fi
    row=$(".venv-$version/bin/python" - <<'PY' || echo "| $version | - | - | - | - | - |"
import platform
from importlib.metadata import PackageNotFoundError, version


def release(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return ''


crf = release('pydensecrf2')
names = ('torch', 'onedl-mmdetection', 'numpy', 'opencv-contrib-python-headless')
print('', platform.python_version(), *map(release, names), f'pydensecrf2 {crf}' if crf else 'PyTorch', '', sep=' | ', end='')
PY
    )
    echo "${row# } $result |" >>"$table"
done
cat "$table"
exit $status
