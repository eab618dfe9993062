#!/usr/bin/env bash
# Train on several GPUs: bash tools/dist_train.sh CONFIG... GPUS [arguments of tools/train.py]
# Environment: NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1), PORT (29500); GPUS counts those of one machine.
# One config starts at once. Many are checked first, then trained one after another: --help says more.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exec env PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" python "$root/tools/launch.py" train "$@"
