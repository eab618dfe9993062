#!/usr/bin/env bash
# Create an environment for pytest -m clients, on top of the active one: bash tests/clients/clients_env.sh [FOLDER]
# Packages that are already installed, such as PyTorch and mmdet, are shared, not reinstalled.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../../.clients}
packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
partial=$folder.partial
rm -rf "$partial"
python -m venv "$partial"
python - "$partial" "$packages" <<'PYTHON'
import pathlib, sys
folder, packages = sys.argv[1:]
(next(pathlib.Path(folder).glob('lib/python*/site-packages')) / 'shared.pth').write_text(packages + '\n')
PYTHON
"$partial/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
# datumaro requires older versions of shared packages than it actually needs.
"$partial/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps datumaro==1.13.12
"$partial/bin/python" -m pip install --quiet --disable-pip-version-check attrs cachetools imagesize json-stream lxml orjson pyarrow ruamel.yaml
mv "$partial" "$folder"
