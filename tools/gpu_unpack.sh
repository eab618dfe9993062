#!/usr/bin/env bash
# Unpack a bundle, install it without network, and run the GPU check. Arguments are passed to the check; --no-check skips it.
# Everything is written below this folder. The environment reuses the packages of the interpreter: PYTHON, or python3.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}

fail() {
    echo "Error: $*" >&2
    exit 1
}

[ -f "$here/core.tar.xz.part0" ] || fail "core.tar.xz.part0 of the bundle is not in $here."
"$python" -c 'import lzma' 2>/dev/null || fail "$python does not run, or was built without lzma. Set PYTHON to another interpreter."
for archive in core data weights; do
    [ -f "$here/$archive.tar.xz.part0" ] || continue
    cat "$here/$archive".tar.xz.part? | "$python" -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode="r|xz").extractall(sys.argv[1])' \
        "$here" 2>/dev/null || fail "$archive.tar.xz in $here is incomplete or damaged."
done
wanted=$(cat "$here/PYTHON_VERSION")
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ "$found" = "$wanted" ] || fail "This bundle is for Python $wanted, but $python is Python $found. Set PYTHON to another interpreter."
for package in torch torchvision numpy scipy cv2; do
    "$python" -c "import importlib.util as i, sys; sys.exit(i.find_spec('$package') is None)" || fail "$python has no package $package."
done
echo "Installing into $here/venv, without network. If there is a C++ compiler, compiling pydensecrf takes a minute." >&2
if [ ! -x "$here/venv/bin/python" ]; then
    "$python" -m venv --without-pip "$here/venv"
    site=$("$here/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    # As site directories, whose .pth files are processed too: setuptools provides distutils for Python 3.12 in one.
    "$python" -c 'import sys; print("\n".join(f"import site; site.addsitedir({path!r})" for path in sys.path if path.endswith("-packages")))' \
        >"$site/borrowed.pth"
fi
# Installed packages with a suitable version are kept.
"$python" -m pip --python "$here/venv/bin/python" install -q --no-index --no-deps --find-links "$here/wheels" \
    -r "$here/mmlabelpenet/requirements/offline.txt"
log=$here/pydensecrf.log
if command -v c++ >/dev/null && ! "$python" -m pip --python "$here/venv/bin/python" install --no-index --no-deps --find-links "$here/wheels" \
    pydensecrf2 >"$log" 2>&1; then
    echo "pydensecrf cannot be built here ($log); the dense CRF will use PyTorch operations, with the same masks." >&2
fi

[ "${1:-}" != --no-check ] || exit 0
devkit=$(find "$here/data/VOCdevkit" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -n 1 || true)
cd "$here"
PYTHON=$here/venv/bin/python exec bash "$here/mmlabelpenet/tools/gpu_check.sh" --out "$here/gpu_check" ${devkit:+--data "$devkit"} "$@"
