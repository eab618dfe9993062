#!/usr/bin/env bash
# Build the documentation site: bash tools/build_docs.sh [--external] [OUT], by default into work_dirs/site (open OUT/index.html).
# Warnings and broken links within the project are errors; --external also checks links to other sites, which needs a network.
# Sphinx is installed into its own environment, .venv-docs: the API reference is read from the source, so the package is not needed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
external=
case ${1:-} in
-h | --help) sed -n '2,4s/^# //p' "$0"; exit ;;
--external) external=1; shift ;;
esac
out=${1:-work_dirs/site}

venv=.venv-docs
if ! cmp -s requirements/docs.txt "$venv/docs.txt"; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install -q -r requirements/docs.txt
    cp requirements/docs.txt "$venv/docs.txt"
fi

sphinx() { "$venv/bin/python" -m sphinx -q -W --keep-going -c docs -d "$out.doctrees" "$@"; }

sphinx -b html . "$out"
if [ -n "$external" ]; then
    sphinx -b linkcheck . "$out.links"
fi
echo "Wrote $out/index.html"
