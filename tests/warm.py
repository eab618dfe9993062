"""Python processes that begin with PyTorch, MMDetection and the package imported: forks of one that has imported them."""

import atexit
import functools
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from multiprocessing import forkserver, util
from pathlib import Path

import cv2
import torch

ROOT = Path(__file__).resolve().parents[1]
PRELOADED = [
    *(f'mmlabelpenet.{name}' for name in ('apis', 'models', 'engine', 'workbench.report.report')),
    *(f'mmdet.{name}' for name in ('models', 'datasets', 'engine', 'visualization')),
    *('matplotlib.pyplot', 'setuptools', 'yapf.yapflib.yapf_api'),
]


def run(*words, folder=ROOT, timeout=600, **environment):
    """Run ``python words`` in a folder, as ``subprocess.run`` does; so do the Python processes that it starts.

    Args:
        environment: variables besides those of this process; None removes one.
    """
    environment = os.environ | dict(OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)) | environment | dict(PWD=str(folder))
    environment = {name: value for name, value in environment.items() if value is not None}
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs, name) for name in ('out', 'err')]
        process = fork_server().Process(target=be_python, args=(files[0], [*map(str, words)], environment, files[1]))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(words, timeout)
        return subprocess.CompletedProcess(words, process.exitcode, *(file.read_text(errors='replace') for file in files))


@functools.cache
def fork_server():
    """The context of processes that are forked from one that has imported PyTorch, MMDetection and this checkout's package.

    That one imports from where it is started, also what its children import later: never from a workspace, which goes with its test.
    """
    context, here = multiprocessing.get_context('forkserver'), os.getcwd()
    context.set_forkserver_preload(PRELOADED)
    os.chdir(ROOT)
    try:
        forkserver.ensure_running()
    finally:
        os.chdir(here)
    return context


def be_bash(output, command, environment):
    """Turn this process into a program."""
    settle(environment, output)
    os.execvp(command[0], command)


def be_python(output, words, environment, errors=None):
    """Run a script or, after ``-m``, a module, as Python does; errors go where the output goes unless they have a file of their own."""
    settle(environment, output, errors)
    if errors is not None:
        subprocess.Popen = Forked
    interpret(words, environment)


def settle(environment, output, errors=None):
    """Give a process its own session, folder, environment and output files."""
    os.setsid()
    os.chdir(environment['PWD'])
    multiprocessing.set_start_method(None, force=True)  # that of Python, for processes of its own
    os.environ.clear()
    os.environ.update(environment)
    with output.open('wb') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if errors is not None:
        with errors.open('wb') as file:
            os.dup2(file.fileno(), 2)


def interpret(words, environment):
    """What an interpreter does with its arguments."""
    torch.set_num_threads(1)  # a fork has no others
    cv2.setNumThreads(0)
    gc.freeze()  # what a collector touches is copied
    script = words[0] != '-m'
    sys.argv = words if script else words[1:]
    kept = [path for path in sys.path if path and Path(path) != ROOT and not Path(path).is_relative_to(ROOT / 'tests')]
    sys.path[:] = [str(Path(words[0]).resolve().parent) if script else '', *environment['PYTHONPATH'].split(':'), *kept]
    try:
        if script:
            runpy.run_path(words[0], run_name='__main__')
        else:
            runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    finally:  # in the order of an interpreter that ends; pools of processes are told first
        threading._shutdown()
        atexit._run_exitfuncs()


class Forked(subprocess.Popen):
    """Starts new processes of this interpreter as forks of this process, and other programs as usual."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
        words = [os.fspath(word) for word in args] if isinstance(args, (list, tuple)) else [args]
        if words[0] != sys.executable:
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
            return
        pipes = rest[3:9]  # after startupinfo, creationflags and shell
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become([word for word in words[1:] if word != '-u'], cwd, env, pipes)
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _become(self, words, cwd, env, pipes):
        code = 1
        try:
            os.chdir(cwd or '.')
            for source, target in zip((pipes[0], pipes[3], pipes[5]), range(3), strict=True):
                if source != -1:
                    os.dup2(source, target)
            if env is not None:
                os.environ.clear()
                os.environ.update(env)
            util._finalizer_registry.clear()  # those of the process that was forked
            multiprocessing.process._children.clear()
            interpret(words, os.environ)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            if code and not isinstance(stop.code, int):
                sys.stderr.write(f'{stop.code}\n')
        except BaseException:  # noqa: BLE001  as an interpreter does
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)
