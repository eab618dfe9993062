#!/usr/bin/env bash
# Install everything, then train and test the whole method on a small rendered data set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh
python -m mmlabelpenet.workbench.quickstart "$@"
