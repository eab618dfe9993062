#!/usr/bin/env bash
# Train under Slurm, one torchrun per node: bash tools/slurm_train.sh PARTITION CONFIG... GPUS [arguments of tools/train.py]
# Environment: GPUS_PER_NODE (GPUS, 8 at most), CPUS_PER_TASK (4 per GPU), JOB_NAME (labelpenet), PORT (29500), SRUN_ARGS.
# Many configs are checked first, then submitted at once; --dry-run prints what would be submitted: --help says more.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exec env PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" python "$root/tools/launch.py" slurm "$@"
