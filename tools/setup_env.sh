#!/usr/bin/env bash
# Create .venv with everything the package needs and activate it. To be sourced by other scripts:
#
#     source tools/setup_env.sh
#
# If requirements, set-up files and Python are those of the last finished run, it only activates the environment. After an interrupted run, or
# if the environment does not work, it is recreated. PYTHON selects an interpreter other than python3, MMLABELPENET_VENV a folder other than .venv.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${MMLABELPENET_VENV:-$ROOT/.venv}
STAMP="$VENV/.mmlabelpenet.done"
UNFINISHED="$VENV/.mmlabelpenet.unfinished"
PYTHON=${PYTHON:-python3}

say() { echo "[setup] $*" >&2; }

fail() {
    say "$*"
    exit 1
}

fingerprint() {
    {
        echo "$ROOT"
        "$PYTHON" -c 'import sys; print(sys.version, sys.base_prefix)'
        cat "$ROOT"/requirements/*.txt "$ROOT/setup.cfg" "$ROOT/pyproject.toml" "$ROOT/tools/setup_env.sh"
    } | sha256sum | cut -d ' ' -f 1
}

check_machine() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "$PYTHON is missing or older than Python 3.10; set PYTHON to another."
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || fail "$PYTHON cannot create virtual environments: apt install python3-venv"
}

make_venv() {
    say "creating $VENV"
    mkdir -p "$VENV"
    touch "$UNFINISHED"
    "$PYTHON" -m venv --clear "$VENV"
}

one_opencv() {
    # Several packages require another OpenCV wheel; all wheels share one folder, and the last one installed wins.
    local others
    others=$("$VENV/bin/pip" list --format=freeze 2>/dev/null | sed -n 's/^\(opencv-[a-z-]*\)==.*/\1/p' | grep -vx opencv-contrib-python-headless || true)
    if [ -n "$others" ]; then
        say "removing $(echo $others), which would hide cv2.ximgproc"
        # shellcheck disable=SC2086
        "$VENV/bin/pip" uninstall -q -y $others
    fi
    if [ -n "$others" ] || ! "$VENV/bin/python" -c 'import cv2; cv2.ximgproc.segmentation' 2>/dev/null; then
        "$VENV/bin/pip" install -q --no-deps --force-reinstall -c "$ROOT/requirements/constraints.txt" opencv-contrib-python-headless
    fi
}

install_all() {
    local requirements=$ROOT/requirements
    touch "$UNFINISHED"
    rm -f "$STAMP"
    say 'installing PyTorch (a few minutes, about 6 GB)'
    # Together, so that their versions match; first, so that no later package selects another build.
    "$VENV/bin/pip" install -q -c "$requirements/constraints.txt" torch torchvision
    say 'installing MMDetection and the other requirements'
    # With build isolation, mmcv is installed without compiled ops, in seconds; mmlabelpenet.ops provides the required ones.
    "$VENV/bin/pip" install -q -c "$requirements/constraints.txt" \
        -r "$requirements/mminstall.txt" -r "$requirements/runtime.txt" -r "$requirements/quickstart.txt" -r "$requirements/tests.txt"
    # Compiled on installation, which needs a C++ compiler and Python's headers.
    "$VENV/bin/pip" install -q -c "$requirements/constraints.txt" -r "$requirements/crf.txt" ||
        say 'pydensecrf cannot be built here (apt install g++ python3-dev); the dense CRF will use PyTorch operations, with the same masks'
    "$VENV/bin/pip" install -q --no-deps -e "$ROOT"
    one_opencv
}

works() {
    (cd / && "$VENV/bin/python" - <<'PY'
import cv2
cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
import mmlabelpenet
import mmdet.models
import torch, torchvision
torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
PY
    )
}

set_up() {
    local -x PIP_DISABLE_PIP_VERSION_CHECK=1
    check_machine
    if [ -e "$UNFINISHED" ] || ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        make_venv
    fi
    install_all
    if ! works; then
        say 'the environment does not work; recreating it'
        make_venv
        install_all
        works || fail 'the environment does not work; see the error above'
    fi
    fingerprint >"$STAMP"
    rm -f "$UNFINISHED"
    say 'done'
}

exec 9<"$ROOT/tools/setup_env.sh"
flock 9 # one set-up at a time
if [ ! -x "$VENV/bin/python" ] || [ "$(cat "$STAMP" 2>/dev/null)" != "$(fingerprint)" ] || ! "$VENV/bin/python" -c '' 2>/dev/null; then
    set_up
fi
exec 9<&-
# shellcheck disable=SC1091
source "$VENV/bin/activate"
