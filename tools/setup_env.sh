#!/usr/bin/env bash
# Make .venv with everything the package needs and activate it. Meant to be sourced by other scripts:
#
#     source tools/setup_env.sh
#
# Does nothing but activate when requirements, set-up files and Python are those of the last finished run. A run that was interrupted, or an
# environment that does not work, is made anew. PYTHON names another interpreter than python3, MMLABELPENET_VENV another place than .venv.
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
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || fail "$PYTHON cannot make virtual environments: apt install python3-venv"
}

make_venv() {
    say "making $VENV"
    mkdir -p "$VENV"
    touch "$UNFINISHED"
    "$PYTHON" -m venv --clear "$VENV"
}

one_opencv() {
    # Several packages ask for another OpenCV wheel; all wheels share one folder, and the last one written wins.
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
    say 'installing PyTorch (some minutes, about 6 GB)'
    # Together, so that their versions match; first, so that nothing later chooses another build.
    "$VENV/bin/pip" install -q -c "$requirements/constraints.txt" torch torchvision
    say 'installing MMDetection and the other requirements'
    # With build isolation mmcv comes without compiled ops, in seconds; mmlabelpenet.ops serves those that are needed.
    "$VENV/bin/pip" install -q -c "$requirements/constraints.txt" \
        -r "$requirements/mminstall.txt" -r "$requirements/runtime.txt" -r "$requirements/quickstart.txt" -r "$requirements/tests.txt"
    # Compiled while it is installed, which needs a C++ compiler and Python's headers.
    "$VENV/bin/pip" install -q -c "$requirements/constraints.txt" -r "$requirements/crf.txt" ||
        say 'pydensecrf cannot be built here (apt install g++ python3-dev); the dense CRF will run in PyTorch operations, with the same masks'
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
        say 'the environment does not work; making it anew'
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
