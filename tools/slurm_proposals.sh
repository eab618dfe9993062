#!/usr/bin/env bash
# Selective search under Slurm: an array of independent jobs, and one job that merges their files:
#   bash tools/slurm_proposals.sh PARTITION SHARDS DATA_ROOT SPLIT OUT.npz [options of selective_search.py]
# Environment: CPUS_PER_TASK (4), SBATCH_ARGS. After a failure, run the same command again: finished images and shards are kept.
set -euo pipefail
if [ $# -lt 5 ]; then sed -n '2,4p' "$0" >&2; exit 2; fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
partition=$1 shards=$2 cpus=${CPUS_PER_TASK:-4}
shift 2
search=$(printf '%q ' env PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" python "$root/tools/dataset_converters/selective_search.py" "$@")
# shellcheck disable=SC2086  # SBATCH_ARGS contains several words
submit() { sbatch --parsable --partition="$partition" ${SBATCH_ARGS:-} "$@"; }
job=$(submit --job-name=proposals --array="1-$shards" --cpus-per-task="$cpus" --wrap "$search--workers $cpus --shard \$SLURM_ARRAY_TASK_ID/$shards")
submit --job-name=proposals-merge --dependency="afterok:${job%%;*}" --wrap "$search--merge $shards"
