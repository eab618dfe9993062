#!/usr/bin/env bash
# Pack everything a machine without network needs for the GPU check: bash tools/gpu_bundle.sh DIR [--data DEVKIT] [--weights FILE]
# The machine must have Python, PyTorch, torchvision, NumPy, SciPy and OpenCV. There, run bash unpack.sh in the folder of the archives.
# core.tar.xz is sufficient; data.tar.xz contains DEVKIT with images of at most 400 pixels per side and its proposals/SPLIT.npz, and
# weights.tar.xz contains FILE. Environment: PYTHON_VERSION (3.12) of that machine, PLATFORM (x86_64), PART_MIB (60), maximum part size.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python}
usage='usage: bash tools/gpu_bundle.sh DIR [--data DEVKIT] [--weights FILE]'

fail() {
    echo "Error: $*" >&2
    exit 1
}

out='' data='' weights=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) echo "$usage" && exit ;;
        --data | --weights) [ $# -gt 1 ] || fail "$1 needs a path. $usage"; printf -v "${1#--}" %s "$2"; shift 2 ;;
        -*) fail "Unknown option $1. $usage" ;;
        *) [ -z "$out" ] || fail "One DIR is expected, got $out and $1. $usage"; out=$1; shift ;;
    esac
done
[ -n "$out" ] || fail "DIR is missing. $usage"
[ -z "$data" ] || [ -d "$data/ImageSets/Main" ] || fail "$data is not a VOC devkit: it has no folder ImageSets/Main."
known=resnet50_caffe_imagenet_fp16.pth # the file name that the check expects
[ -z "$weights" ] || [ -f "$weights" ] || fail "$weights does not exist."
[ -z "$weights" ] || [ "$(basename "$weights")" = "$known" ] || fail "--weights is for $known, got $weights."
command -v xz >/dev/null || fail "The archives are packed by xz, which is not installed."
mkdir -p "$out"
[ -w "$out" ] || fail "$out cannot be written. Choose another folder."
[ -z "$(ls -A "$out")" ] || fail "$out is not empty. Remove it or choose another folder."

box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
mkdir -p "$box/mmlabelpenet" "$box/wheels"
git -C "$root" rev-parse HEAD >"$box/COMMIT" 2>/dev/null || fail "A bundle is made of a commit: $root is no git repository, or git is missing."
git -C "$root" archive HEAD -- ':(exclude)mmlabelpenet/weights/*.pth' | tar -x -C "$box/mmlabelpenet"

pack() { # ARCHIVE LEVEL PATH..., relative to the bundle's folder
    tar -c -C "$box" "${@:3}" | xz -T0 "-$2" | split -d -a 1 -b "${PART_MIB:-60}M" - "$out/$1.tar.xz.part"
}

# OpenMMLab's packages have no wheels on the index; wheels built here are pure Python.
pip() { "$python" -m pip "$1" -q --no-deps -c "$root/requirements/constraints.txt" "${@:2}"; }
grep '^onedl' "$root/requirements/offline.txt" >"$box/own.txt"
grep -v '^onedl\|^#' "$root/requirements/offline.txt" >"$box/others.txt"
pip wheel -w "$box/wheels" -r "$box/own.txt"
machine=${PLATFORM:-x86_64} version=${PYTHON_VERSION:-3.12}
echo "$version" >"$box/PYTHON_VERSION"
there=(--only-binary=:all: --python-version "$version" --platform "manylinux2014_$machine" --platform "manylinux_2_28_$machine")
pip download "${there[@]}" -d "$box/wheels" -r "$box/others.txt"
rm "$box/own.txt" "$box/others.txt"

# pydensecrf has no wheels: include its source and its build requirements, for machines with a compiler.
pip download --no-binary=pydensecrf2 -d "$box/wheels" -r "$root/requirements/crf.txt"
pip download "${there[@]}" -d "$box/wheels" Cython==0.29.36 wheel

# Uncompressed wheels take a quarter less space in a compressed archive.
"$python" - "$box"/wheels/*.whl <<'PY'
import sys
from zipfile import ZIP_STORED, ZipFile

for path in sys.argv[1:]:
    with ZipFile(path) as wheel:
        files = [(file, wheel.read(file)) for file in wheel.infolist()]
    with ZipFile(path, 'w') as wheel:
        for file, content in files:
            wheel.writestr(file, content, ZIP_STORED)
PY
pack core 6 COMMIT PYTHON_VERSION mmlabelpenet wheels

if [ -n "$data" ]; then
    mkdir -p "$box/data"
    PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" "$python" -m mmlabelpenet.workbench.gpu_check.shrink "$data" "$box/data/VOCdevkit/$(basename "$data")"
    pack data 1 data/VOCdevkit
fi
if [ -n "$weights" ]; then
    mkdir -p "$box/data/weights"
    cp "$weights" "$box/data/weights/"
    pack weights 1 data/weights
fi
cp "$root/tools/gpu_unpack.sh" "$out/unpack.sh"
du -h --apparent-size "$out"/* >&2
