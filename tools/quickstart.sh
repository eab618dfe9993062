#!/usr/bin/env bash
# Install everything, then train and test the whole method on a small data set made on the spot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh
python -m mmlabelpenet.workbench.quickstart "$@"
