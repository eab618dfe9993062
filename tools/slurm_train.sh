#!/usr/bin/env bash
# Train under Slurm, one torchrun per node: bash tools/slurm_train.sh PARTITION CONFIG GPUS [arguments of tools/train.py]
# Environment: GPUS_PER_NODE (GPUS, 8 at most), CPUS_PER_TASK (4 per GPU), JOB_NAME (labelpenet), PORT (29500), SRUN_ARGS.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
partition=$1 config=$2 gpus=$3
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
nodes=$(((gpus + per_node - 1) / per_node))
if [ $((nodes * per_node)) -ne "$gpus" ]; then
    echo "GPUS must be a multiple of GPUS_PER_NODE, got $gpus and $per_node." >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

export NNODES=$nodes PORT=${PORT:-29500}
# shellcheck disable=SC2016,SC2086
exec srun -p "$partition" --job-name "${JOB_NAME:-labelpenet}" --nodes "$nodes" --ntasks "$nodes" --ntasks-per-node 1 \
    --gres "gpu:$per_node" --cpus-per-task "${CPUS_PER_TASK:-$((4 * per_node))}" --kill-on-bad-exit 1 ${SRUN_ARGS:-} \
    bash -c 'export NODE_RANK=$SLURM_NODEID MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1); exec bash "$0" "$@"' \
    "$root/tools/dist_train.sh" "$config" "$per_node" "${@:4}"
