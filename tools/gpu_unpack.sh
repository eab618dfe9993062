#!/usr/bin/env bash
# Unpack a bundle, install it without network, and run the GPU check. Arguments go to the check; --no-check leaves it out.
# Everything lies below this folder. The environment borrows the packages of the interpreter: PYTHON, or python3.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}

cat "$here"/bundle.tar.gz.part? | tar -xz -C "$here"
if [ ! -x "$here/venv/bin/python" ]; then
    "$python" -m venv --without-pip "$here/venv"
    site=$("$here/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    "$python" -c 'import site, sys; print("\n".join(path for path in sys.path if path.endswith("-packages")))' >"$site/borrowed.pth"
fi
# Those that are there in a release that fits stay.
"$python" -m pip --python "$here/venv/bin/python" install -q --no-index --no-deps --find-links "$here/wheels" \
    -r "$here/mmlabelpenet/requirements/offline.txt"
log=$here/pydensecrf.log
if command -v c++ >/dev/null && ! "$python" -m pip --python "$here/venv/bin/python" install --no-index --no-deps --find-links "$here/wheels" \
    pydensecrf2 >"$log" 2>&1; then
    echo "pydensecrf cannot be built here ($log); the dense CRF runs in PyTorch operations, with the same masks." >&2
fi

[ "${1:-}" != --no-check ] || exit 0
devkit=$(find "$here/data/VOCdevkit" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -n 1 || true)
cd "$here"
PYTHON=$here/venv/bin/python exec bash "$here/mmlabelpenet/tools/gpu_check.sh" --out "$here/gpu_check" ${devkit:+--data "$devkit"} "$@"
