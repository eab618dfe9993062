#!/usr/bin/env bash
# Train on several GPUs: bash tools/dist_train.sh CONFIG... GPUS [arguments of tools/train.py]
# Environment: NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1), PORT (29500); GPUS is the number of GPUs per machine.
# A single config starts immediately. Several are checked first, then trained one after another; see --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exec env PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" python "$root/tools/launch.py" train "$@"
