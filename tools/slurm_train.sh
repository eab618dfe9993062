#!/usr/bin/env bash
# Train under Slurm, one torchrun per node: bash tools/slurm_train.sh PARTITION CONFIG... GPUS [arguments of tools/train.py]
# Environment: GPUS_PER_NODE (GPUS, at most 8), CPUS_PER_TASK (4 per GPU), JOB_NAME (labelpenet), PORT (29500), SRUN_ARGS.
# Several configs are checked first, then all submitted; --dry-run only prints the jobs; see --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exec env PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" python "$root/tools/launch.py" slurm "$@"
