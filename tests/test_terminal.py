import ast
import errno
import os
import re
import shlex
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from mmlabelpenet.terminal import AGAIN, command, new_parser, run, say

TOOLS = Path(__file__).parents[1] / 'tools'
COMMANDS = [
    path for path in sorted(TOOLS.rglob('*.py')) if '\ndef main(' in path.read_text() or re.search('import .*main', path.read_text())
]


def fail(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (ValueError('three classes expected'), 'Error: three classes expected'),
        (FileNotFoundError(errno.ENOENT, 'No such file', 'a.py'), "Error: [Errno 2] No such file: 'a.py'"),
        (OSError(errno.ENOSPC, 'No space left on device'), 'Error: [Errno 28] No space left on device'),
        (
            OSError(errno.ENOSPC, 'No space left on device', 'a.json'),
            "Error: [Errno 28] No space left on device: 'a.json'. Files written so far",
        ),
        (OSError(errno.EDQUOT, 'Over quota: make space'), 'Error: [Errno 122] Over quota: make space'),
        (MemoryError(), 'Error: Out of memory. Use smaller images'),
        (type('OutOfMemoryError', (RuntimeError,), {})('CUDA out of memory\nof GPU 0'), 'Error: Out of memory (CUDA out of memory). Use'),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 'Error: Out of memory ([enforce fail] DefaultCPU'),
        (BrokenProcessPool('A process in the process pool was terminated abruptly'), 'Error: A process was killed (A process in the'),
        (ModuleNotFoundError("No module named 'mmdet'", name='mmdet'), "Error: No module named 'mmdet'. Install MMDetection"),
        (ValueError("'a\x1b[31m.jpg' is not readable"), r"Error: 'a\x1b[31m.jpg' is not readable"),
        (FileNotFoundError('photos/\u202egpj.\udcff'), r'Error: photos/\u202egpj.\udcff'),
        (FloatingPointError('Iteration 3: loss is not finite'), 'Error: Iteration 3: loss is not finite'),
        (KeyboardInterrupt(), 'Interrupted.'),
    ],
)
def test_what_the_user_can_correct_ends_a_command_with_one_line(error, line):
    with pytest.raises(SystemExit) as end:
        run(fail(error))
    assert end.value.code.startswith(line) and '\n' not in end.value.code


def test_names_of_people_do_not_steer_the_terminal(capsys):
    say('class \x1b]0;title\x07 of \udcff.jpg\n  in a table\tof 🐈\u200d⬛ und Käfern')
    assert capsys.readouterr().out == 'class \\x1b]0;title\\x07 of \\udcff.jpg\n  in a table\tof 🐈\u200d⬛ und Käfern\n'


WORK = "from mmlabelpenet.terminal import run, say\nrun(lambda: (say('chât'), say('x' * 100_000), open('done', 'w').close())[2])"


@pytest.mark.parametrize('command', ['{} | head -c 1', '{} >&-', '{} >&- 2>&-', '{} <&-', 'PYTHONIOENCODING=ascii {}'])
def test_a_reader_that_ends_a_closed_output_or_an_encoding_ends_no_work(tmp_path, command):
    words = command.format(f'{shlex.quote(sys.executable)} -c {shlex.quote(WORK)}')
    done = subprocess.run(['bash', '-c', f'set -o pipefail; {words}'], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '') and (tmp_path / 'done').exists()
    assert 'ascii' not in command or done.stdout.startswith('ch\\xe2t\n')


def test_an_interrupted_command_may_say_how_to_continue():
    with pytest.raises(SystemExit, match=re.escape(AGAIN)):
        run(fail(KeyboardInterrupt()), AGAIN)


def test_types_and_keys_that_this_package_refuses_on_purpose_end_a_command_with_one_line():
    """Also if the rejecting object is built by MMEngine, which raises the error again."""
    from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
    from mmlabelpenet.engine.phases import make_phases

    def rebuilt():
        try:
            make_phases([], [])
        except TypeError as error:
            raise TypeError(f'class `Loop` in loops.py: {error}') from None

    empty = PseudoLabelStore(dict(info={}, images=[], annotations=[], categories=[]))
    for main, line in (
        (lambda: make_phases([], []), 'train_cfg.phases must be a dict by name'),
        (rebuilt, 'class `Loop` in loops.py: train_cfg.phases must be a dict by name'),
        (lambda: empty.instances('a'), "The label store has no image 'a'"),
    ):
        with pytest.raises(SystemExit) as end:
            run(main)
        assert end.value.code.startswith(f'Error: {line}') and '\n' not in end.value.code


BUGS = [ZeroDivisionError(), RuntimeError('a tensor of another shape'), TypeError('not subscriptable'), KeyError('absent')]


@pytest.mark.parametrize('error', BUGS)
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run(fail(error))


class Unlucky:
    """A data set whose items end in the same way."""

    def __init__(self, get):
        self.get = get

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.get()


def refuse():
    raise ValueError("Image 'a.jpg' cannot be read.\nReplace it.")


def refuse_phases():
    from mmlabelpenet.engine.phases import make_phases

    make_phases([], [])


@pytest.mark.parametrize(
    ('get', 'message'),
    [
        (refuse, "Error: Image 'a.jpg' cannot be read.\nReplace it."),
        (refuse_phases, 'Error: train_cfg.phases must be a dict by name'),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), 'Error: A process was killed (DataLoader worker (pid'),
    ],
)
def test_what_happens_in_a_data_loading_process_is_told_as_if_it_had_happened_here(get, message):
    from torch.utils.data import DataLoader

    with pytest.raises(SystemExit) as end:
        run(lambda: list(DataLoader(Unlucky(get), num_workers=1)))
    assert end.value.code.startswith(message) and 'Traceback' not in end.value.code


def test_a_bug_in_a_data_loading_process_keeps_its_traceback():
    from torch.utils.data import DataLoader

    with pytest.raises(TypeError, match='Original Traceback'):
        run(lambda: list(DataLoader(Unlucky(lambda: 1 + None), num_workers=1)))


def test_what_to_do_about_a_full_disk_is_said_once():
    with pytest.raises(SystemExit) as end:
        run(fail(OSError(errno.ENOSPC, 'It cannot be written: make space, then go on with --resume')))
    assert end.value.code.count('make space') == 1


def test_the_exit_status_is_what_the_command_returns():
    for status in (None, 0):
        run(lambda status=status: status)
    with pytest.raises(SystemExit) as end:
        run(lambda: 1)
    assert end.value.code == 1


@pytest.mark.parametrize('path', COMMANDS, ids=lambda path: path.stem)
def test_every_script_ends_its_errors_in_the_same_way(path):
    end = path.read_text().partition("\nif __name__ == '__main__':\n")[2]
    assert re.search(r'^    run\(main(, AGAIN)?\)\n$', end, re.MULTILINE) and 'except' not in end


def test_help_shows_a_command_as_it_was_called(monkeypatch):
    names = ('train', 'python tools/train.py')
    assert 'python tools/train.py CONFIG' in new_parser('Train: python tools/train.py CONFIG', *names).format_help()
    monkeypatch.setattr('sys.argv', ['mmlabelpenet own-data', 'train'])
    assert command(*names) == 'mmlabelpenet train'
    assert 'Train: mmlabelpenet train CONFIG' in new_parser('Train: python tools/train.py CONFIG', *names).format_help()


def test_commands_in_an_error_can_be_copied_from_any_folder(tmp_path, monkeypatch):
    error = ValueError('Make it: python tools/test.py A, or bash tools/dist_test.sh A. The tools/ of others stay.')
    with pytest.raises(SystemExit) as end:
        run(fail(error))
    assert end.value.code == f'Error: {error}'
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        run(fail(error))
    named = [word.rstrip('.') for word in end.value.code.split() if word.startswith('/')]
    assert named == [f'{TOOLS.resolve()}/test.py', f'{TOOLS.resolve()}/dist_test.sh'] and 'The tools/ of others' in end.value.code


def test_paths_in_commands_of_messages_are_quoted():
    """A command copied from a message works even if a path contains a space."""
    for path in [*(TOOLS.parent / 'mmlabelpenet').rglob('*.py'), *TOOLS.rglob('*.py')]:
        for text in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.JoinedStr)):
            source = ast.unparse(text)
            for _, words in re.findall(r'(python tools/|bash tools/|\{command\(.*?\)\})(.*?)(?:\\n|$)', source):
                for word in re.findall(r'\{(\w[^{}]*)\}', words):
                    assert re.match(r'(shlex\.)?(quote|join)\(', word), f'{path}: {source}'


def test_an_interruption_while_a_command_ends_changes_nothing():
    code = 'import atexit, signal, time\nfrom mmlabelpenet.terminal import run, say\n'
    code += 'atexit.register(lambda: (say("ends"), time.sleep(1), say("done")))\nrun(lambda: None)'
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'ends\n'
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ('done\n', '') and process.returncode == 0
