"""Running commands on a terminal: how they were called, output, and one-line errors. Imports no framework."""

import atexit
import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from mmlabelpenet.files import shipped, shown
from mmlabelpenet.options import Parser
from mmlabelpenet.processes import end_children, end_with_launcher, keep_temporary_files

MISSING = dict.fromkeys(('torch', 'torchvision'), ' Install PyTorch first, following pytorch.org for your CUDA version.')
MISSING['filelock'] = ' Activate the environment (source .venv/bin/activate), or install the package: docs/install.md.'
MISSING |= dict.fromkeys(('mmcv', 'mmdet', 'mmengine'), ' Install MMDetection: pip install "mmlabelpenet[mim]".')
_STEERING = re.compile('[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]')  # also directions of script
_PROCESS_ENDED = re.compile('DataLoader worker .*(exited unexpectedly|is killed by signal)|process pool was terminated')
_FROM_LOADER = 'Original Traceback (most recent call last):'  # in the message of an error of a data-loading process
AGAIN = 'Interrupted. Run the same command again to continue.'


def command(name: str, script: str) -> str:
    """A command, written in the same style as the running one was called.

    Args:
        name: of the command ``mmlabelpenet NAME``.
        script: the same command as a script, such as ``python tools/train.py``.

    >>> command('train', 'python tools/train.py')
    'python tools/train.py'
    """
    return f'mmlabelpenet {name}' if sys.argv[0].startswith('mmlabelpenet ') else script


def runnable(text: str) -> str:
    """A message whose commands can be copied: paths of ``tools`` scripts are relative to the working directory.

    >>> runnable('It is written by python tools/train.py CONFIG.')
    'It is written by python tools/train.py CONFIG.'
    """
    return re.sub(r'\b(python|bash) (tools/[\w/]+\.(?:py|sh))', lambda found: f'{found[1]} {shown(shipped(found[2]))}', text)


def new_parser(doc: str | None, name: str, script: str, instead: Mapping[str, str] | None = None) -> Parser:
    """A parser whose help shows the command as it was called.

    Args:
        doc: the docstring of the command's module, with calls of ``script``.
        name: see :func:`command`.
        script: see :func:`command`.
        instead: see :class:`~.options.Parser`.
    """
    prog = command(name, script)
    description = (doc or '').replace(script, prog)
    return Parser(prog=prog, description=description, instead=instead)


def visible(text: str) -> str:
    """A text without terminal control characters: file and class names may contain any character.

    >>> visible('a' + chr(27) + '[31m.jpg') == 'a' + chr(92) + 'x1b[31m.jpg'
    True
    """
    return _STEERING.sub(lambda found: found[0].encode('unicode_escape').decode(), text)


def say(text: str, error: bool = False) -> None:
    """Write a line to standard output or standard error and flush it.

    Characters that the terminal's encoding lacks are escaped. If the output is closed, or its reader has ended (``| head``), the line is
    dropped and the work continues.
    """
    stream = sys.stderr if error else sys.stdout
    if stream is None:
        return
    try:
        stream.write(visible(text).encode(stream.encoding or 'utf-8', 'backslashreplace').decode(stream.encoding or 'utf-8') + '\n')
        stream.flush()
    except OSError as problem:
        if problem.errno not in (errno.EPIPE, errno.EBADF):
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # otherwise Python tries again at exit
        os.close(nowhere)


def run(main: Callable[[], int | None], interrupted: str = 'Interrupted.') -> None:
    """Run a command.

    Errors that the user can correct, such as invalid input and files, end it with one line on standard error and exit status 1. Forked
    processes end with it, and it ends with the launcher that started it.

    Args:
        interrupted: message shown when the user interrupts it.
    """
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # before importing torch: waiting threads then leave the CPU to other processes
    try:
        end_children()
        end_with_launcher()
        keep_temporary_files()
        status = main()
    except KeyboardInterrupt:
        sys.exit(interrupted)
    except ModuleNotFoundError as error:
        sys.exit(visible(f'Error: {error}.{MISSING.get(error.name or "", "")}'))
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(visible(f'Error: {runnable(_message(error))}{_more_space(error)}'))
    except (TypeError, KeyError) as error:
        if not is_told(error):
            raise
        sys.exit(visible(f'Error: {runnable(_message(error))}'))
    except (MemoryError, RuntimeError) as error:
        reason = _message(error).strip().partition('\n')[0][:200]
        if is_out_of_memory(error):
            sys.exit(f'Error: Out of memory{f" ({reason})" if reason else ""}. Use smaller images or batches, or fewer workers.')
        if not _PROCESS_ENDED.search(reason):
            raise
        sys.exit(f'Error: A process was killed ({reason}). If memory ran out, use smaller images or batches, or fewer workers.')
    finally:
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # it runs first, so that nothing can be interrupted afterwards
    if status:
        sys.exit(status)


def _message(error: BaseException) -> str:
    """The message of an error, without the traceback that PyTorch adds to one of a data-loading process."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if _FROM_LOADER not in text:
        return text
    return re.split(rf'^(?:\w+\.)*{type(error).__name__}: ', text, flags=re.MULTILINE)[-1].strip()


def is_told(error: BaseException) -> bool:
    """Whether this package raised an error deliberately, about invalid input; any other error is a bug."""
    frames = [(frame.filename, frame.line or '') for frame in traceback.extract_tb(error.__traceback__)]
    if _FROM_LOADER in str(error):
        frames = re.findall(r'^  File "(.+)", line \d+, in .*\n    (.*)$', str(error), re.MULTILINE)
    for filename, line in frames[-1:]:
        if Path(filename).is_relative_to(Path(__file__).parent) and line.startswith('raise '):
            return True
    inner = error.__context__  # MMEngine re-raises errors of the objects that it builds
    return inner is not None and str(inner) in str(error) and is_told(inner)


def _more_space(error: Exception) -> str:
    """What to do about a full disk, if the error does not say it."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return (
        '. Files written so far are kept: free some space, then run the same command again.'
        if full and 'make space' not in str(error)
        else ''
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, or PyTorch on a GPU or the CPU, ran out of memory; this module does not import PyTorch."""
    return isinstance(error, MemoryError) or type(error).__name__ == 'OutOfMemoryError' or 'DefaultCPUAllocator' in str(error)
