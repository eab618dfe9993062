#!/usr/bin/env bash
# Run all ablations of a config, then collect a table: bash tools/run_ablations.sh [arguments of tools/analysis_tools/ablate.py, such as --seeds 0 1 2]
# Environment: BASE (lite0_rendered), the prefix of the ablations' names; the base config is configs/labelpenet/labelpenet_$BASE.py.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,3s/^# //p' "$0"; exit ;; esac
base=${BASE:-lite0_rendered}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
shopt -s nullglob
ablations=("$root/configs/labelpenet/ablations/${base}"_*.py)
if [ ${#ablations[@]} -eq 0 ]; then
    echo "There is no configs/labelpenet/ablations/${base}_*.py." >&2
    exit 2
fi

exec python "$root/tools/analysis_tools/ablate.py" "${ablations[@]}" \
    --base "$root/configs/labelpenet/labelpenet_$base.py" --out "work_dirs/ablations/$base" "$@"
