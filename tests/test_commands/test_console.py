import importlib
import re
import sys

import pytest

import mmlabelpenet
from mmlabelpenet.commands import console
from mmlabelpenet.files import shipped


def call(monkeypatch, *words):
    monkeypatch.setattr(sys, 'argv', ['/usr/bin/mmlabelpenet', *words])
    console.main()


@pytest.mark.parametrize('words', [[], ['-h'], ['--help']])
def test_one_page_of_help_names_every_command(monkeypatch, capsys, words):
    call(monkeypatch, *words)
    page = capsys.readouterr().out
    assert len(page.splitlines()) <= 24 and all(len(line) <= 100 for line in page.splitlines())
    assert re.findall(r'^  ([\w-]+) {2,}', page.split('first steps')[0], re.MULTILINE) == list(console.COMMANDS)


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
    call(monkeypatch, '--version')
    assert capsys.readouterr().out == f'mmlabelpenet {mmlabelpenet.__version__}\n'


def test_an_unknown_command_is_one_line_with_those_that_exist(monkeypatch):
    with pytest.raises(SystemExit, match="Error: 'predicts' is not a command. Choose one of predict, own-data"):
        call(monkeypatch, 'predicts')


@pytest.mark.parametrize('name', console.COMMANDS)
def test_every_command_shows_its_help_under_its_own_name(monkeypatch, capsys, name):
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, name, '--help')
    page = capsys.readouterr().out
    assert end.value.code == 0 and page.startswith(f'usage: mmlabelpenet {name}')
    assert 'python tools/' not in page and 'python -m' not in page


def test_an_error_that_the_user_can_correct_is_one_line(monkeypatch):
    with pytest.raises(SystemExit, match=r'^Error: Config none.py does not exist'):
        call(monkeypatch, 'train', 'none.py')


@pytest.mark.parametrize('name', console.COMMANDS)
def test_scripts_run_the_function_of_the_command(load_tool, name):
    module = importlib.import_module(console.COMMANDS[name][0])
    script = module.NAMES[1].removeprefix('python ')
    assert module.NAMES[0] == name
    if script.startswith('tools/'):
        assert shipped(script).is_file() and load_tool(script.removeprefix('tools/')).main is module.main
    else:
        assert importlib.import_module(script.removeprefix('-m '))
