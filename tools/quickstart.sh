#!/usr/bin/env bash
# Install everything, then train and test the whole method on a small rendered data set.
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) # before anything is installed
    exec echo "usage: bash tools/quickstart.sh [--seed SEED] [--work-dir DIR] [--data DIR] [--quick-check]" ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh
python -m mmlabelpenet.workbench.quickstart "$@"
