#!/usr/bin/env bash
# Train on several GPUs: bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Environment: NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1), PORT (29500); GPUS counts those of one machine.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
config=$1 gpus=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

exec env PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" python -m torch.distributed.run \
    --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}" \
    --nproc-per-node "$gpus" \
    "$root/tools/train.py" "$config" --launcher pytorch "${@:3}"
