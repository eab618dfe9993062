"""Command lines of the documentation, and a folder in which they run as a reader would type them.

    python tests/documented.py     each documented line with the test that runs it

Pages are Markdown files, docstrings of modules, headers of scripts, metafiles, and the commands that configs give for missing data. Lines
of a block share a terminal: ``cd`` and ``export`` have no effect after the block.
"""

import ast
import os
import re
import runpy
import signal
import subprocess
import sys
from typing import NamedTuple

from warm import ROOT, be_bash, be_python, fork_server

PLACES = (
    *('*.md', 'docs/**/*.md', 'configs/*/*.md', 'configs/*/*.yml', 'configs/_base_/datasets/*.py', '.github/ISSUE_TEMPLATE/*.yml'),
    *('mmlabelpenet/**/*.py', 'tools/**/*.py', 'tools/*.sh', 'demo/*.py'),
)
HISTORY = 'CHANGELOG.md'  # its lines were correct when written
PROGRAMS = r'(?:python|bash|pytest|pip|mim|mmlabelpenet|yolo|labelme|source|export|cd|ls|sort|git|docker)'
COMMAND = re.compile(rf'(?:[A-Z_]+=\S+ )*{PROGRAMS} \S.*')
CHECKPOINT = r'[\w./-]+/(?:iter|epoch)_\d+\.pth'
LEAF, RUN = 'configs/labelpenet/labelpenet_lite0_rendered.py', 'work_dirs/labelpenet_lite0_rendered'  # what most lines are tried with


class Block(NamedTuple):
    """Lines typed one after another: ``page``, relative to the project, and ``lines`` without comments."""

    page: str
    lines: tuple[str, ...]


def blocks(page):
    """Blocks of commands of a page."""
    text, name = page.read_text(encoding='utf-8'), page.relative_to(ROOT).as_posix()
    if page.suffix == '.md':
        return [Block(name, lines) for lines in blocks_of_markdown(text)]
    if page.suffix == '.yml':
        found = re.findall(r'(?:^ *Command: |`)([^`\n]+)', text, flags=re.MULTILINE)
    elif page.is_relative_to(ROOT / 'configs'):
        sources = runpy.run_path(page).get('data_sources', {}).values()
        found = [re.sub(r'\{\{\$\w+:(.*?)\}\}', r'\1', source) for source in sources]  # the variable is not set
    elif page.suffix == '.py':
        first, _, rest = joined(ast.get_docstring(ast.parse(text)) or '').partition('\n')
        found = [without_remarks(line) for line in (first.partition(': ')[2], *rest.splitlines())]
    else:
        found = [without_remarks(line) for line in re.findall(r'^#.*?\b(bash tools/\S+ .*)', text, flags=re.MULTILINE)]
    lines = tuple(line for line in found if COMMAND.fullmatch(line))
    return [Block(name, lines)] if lines else []


def blocks_of_markdown(text):
    """Fenced blocks in bash, those without a language and indented ones as far as they are commands, and commands within a line."""
    for fence in re.finditer(r'^ *```(\w*)\n((?:.*\n)*?) *```|((?:^ {4,}\S.*\n)+)|`([^`\n]+)`', joined(text), flags=re.MULTILINE):
        language, inside, indented, within = fence.groups()
        lines = [without_comment(line) for line in (inside or indented or within or '').splitlines()]
        if language not in ('bash', 'sh'):
            lines = [line for line in lines if COMMAND.fullmatch(line)] if language in ('', 'console', None) else []
        if any(lines):
            yield tuple(filter(None, lines))


def joined(text):
    """A text whose lines go on over a backslash."""
    return re.sub(r'\\\n\s*', '', text)


def without_comment(line):
    """A line without its comment and with normalised spaces; empty for a pure comment."""
    return ' '.join(re.sub(r'(^|\s)#\s.*$', '', line).split())


def without_remarks(line):
    """A docstring line without optional parts in brackets, remarks on the right, and the full stop."""
    line = re.sub(r' \[[^]]*\](\.\.\.)?|\.\.\.', '', line.strip())
    return without_comment(re.split(r'\s{2,}|, by default', line)[0]).rstrip('.')


def all_blocks():
    """Blocks of all pages, in order."""
    pages = [path for place in PLACES for path in sorted(ROOT.glob(place)) if '.mim' not in path.parts and path.name != HISTORY]
    return [block for page in pages for block in blocks(page)]


def fill(line, words):
    """Replace words; if a word has several replacements, each occurrence takes the next one.

    >>> fill('python a.py CONFIG CONFIG --x CONFIG', dict(CONFIG=['b', 'c']))
    'python a.py b c --x b'
    """
    for word, values in words.items():
        before, after = r'(?<![\w-])' if word[0].isalnum() else '', r'(?![\w-])' if word[-1].isalnum() else ''
        parts = re.split(before + re.escape(word) + after, line)
        values = [values] if isinstance(values, str) else values
        line = parts[0] + ''.join(values[k % len(values)] + part for k, part in enumerate(parts[1:]))
    return line


class Terminal:
    """Runs command lines in a folder that looks like a checkout with data.

    Lines of Python alone run in processes that are forked from one that has imported PyTorch and MMDetection already.

    Args:
        folder: a workspace of :mod:`standin`; ``bin`` in it is the first on the path, and ``home`` the home.
    """

    def __init__(self, folder):
        self.folder, self.output = folder, folder / 'output.txt'
        for name in ('bin', 'home'):
            (folder / name).mkdir(parents=True)
        for name in ('tools', 'mmlabelpenet', 'demo', 'tests'):
            (folder / name).symlink_to(ROOT / name)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(('MMLABELPENET_', 'PYTEST_', 'SLURM_'))},
            **dict(PATH=f'{folder}/bin:{os.environ["PATH"]}', HOME=f'{folder}/home', PWD=str(folder), CUDA_VISIBLE_DEVICES=''),
            **dict(PYTHONPATH=str(ROOT), PORT=str(29600 + os.getpid() % 300), OMP_NUM_THREADS='1', MMLABELPENET_CACHE=f'{folder}/cache'),
        }
        self.program('mmlabelpenet', 'exec python -m mmlabelpenet "$@"')

    def run(self, line, before=()):
        """Run a line after preparatory lines; returns its output. If it fails, raises an error with the last lines of output."""
        sys.stderr.write(f'$ {line}\n')
        process = self.start(line, before)
        process.join(1800)
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
        output = self.output.read_text(errors='replace')
        if process.exitcode != 0:
            raise AssertionError(f'{line}\nended with {process.exitcode}:\n{output[-4000:]}')
        return output

    def start(self, line, before=()):
        """Start the process of a line in its own session, with output to ``output``."""
        python = re.fullmatch(r'((?:[A-Z_]+=\S+ )*)python ([^|<>&;]+)', re.sub(r'^mmlabelpenet ', 'python -m mmlabelpenet ', line))
        if python:  # Bash tells what the words and the environment are
            line = f'printf "%s\\0" {python[2]} --; {python[1]} env -0'
        command = ['bash', '-eo', 'pipefail', '-c', '\n'.join([*before, line])]
        if python:
            told = subprocess.run(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True, check=True).stdout
            words, _, variables = told.removesuffix('\0').partition('\0--\0')
            command, environment = words.split('\0'), dict(variable.split('=', 1) for variable in variables.split('\0'))
        process = fork_server().Process(
            target=be_python if python else be_bash, args=(self.output, command, environment if python else self.environment)
        )
        process.start()
        return process

    def program(self, name, content):
        """Add a program to the path."""
        path = self.folder / 'bin' / name
        path.write_text(f'#!/usr/bin/env bash\n{content}\n')
        path.chmod(0o755)


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))
    import test_documented_commands as tests

    for block in all_blocks():
        for line in block.lines:
            sys.stdout.write(f'{block.page}\t{line}\t{tests.runner_of(block.page, line)}\n')
