import shutil
import subprocess

import pytest

FLAGS = (
    '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update '
    '--disable-sync --hide-scrollbars'
).split()


@pytest.fixture
def chromium(tmp_path):
    """Run a real browser on a page: ``chromium(address, '--dump-dom')`` returns what it prints; skips where there is none."""
    program = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if program is None:
        pytest.skip('no chromium is installed')

    def run(address, *options, size=(1400, 900)):
        profile = tmp_path / 'profile'
        shutil.rmtree(profile, ignore_errors=True)
        command = [program, *FLAGS, f'--user-data-dir={profile}', f'--window-size={size[0]},{size[1]}', *options, address]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout

    return run
