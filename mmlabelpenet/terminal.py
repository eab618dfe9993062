"""Commands on the terminal: how they were called, lines for people, errors that end them with one line. Imports no framework."""

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

MISSING = dict.fromkeys(('torch', 'torchvision'), ' Install PyTorch first, as its site tells for your CUDA.')
MISSING |= dict.fromkeys(('mmcv', 'mmdet', 'mmengine'), ' Install MMDetection: pip install "mmlabelpenet[mim]".')
_STEERING = re.compile('[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]')  # also directions of script
AGAIN = 'Interrupted. Give the same command again to continue.'


def command(name: str, script: str) -> str:
    """A command in the way that the running one was called.

    Args:
        name: of the command ``mmlabelpenet NAME``.
        script: the same by its script, such as ``python tools/train.py``.

    >>> command('train', 'python tools/train.py')
    'python tools/train.py'
    """
    return f'mmlabelpenet {name}' if sys.argv[0].startswith('mmlabelpenet ') else script


def runnable(text: str) -> str:
    """A message whose commands can be copied: scripts of ``tools`` are named as they are found from the working folder.

    >>> runnable('It is written by python tools/train.py CONFIG.')
    'It is written by python tools/train.py CONFIG.'
    """
    return re.sub(r'\b(python|bash) (tools/[\w/]+\.(?:py|sh))', lambda found: f'{found[1]} {shown(shipped(found[2]))}', text)


def new_parser(doc: str | None, name: str, script: str, instead: Mapping[str, str] | None = None) -> Parser:
    """A parser whose help shows the command in the way it was called.

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
    """A text in which nothing steers the terminal: names of people's files and classes may hold any character.

    >>> visible('a' + chr(27) + '[31m.jpg') == 'a' + chr(92) + 'x1b[31m.jpg'
    True
    """
    return _STEERING.sub(lambda found: found[0].encode('unicode_escape').decode(), text)


def say(text: str, error: bool = False) -> None:
    """Write a line to standard output, or to standard error, at once.

    Characters that the terminal's encoding lacks are written as escapes. Where the output is closed, or its reader has ended (``| head``),
    the line is dropped: the work goes on.
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
        os.dup2(nowhere, stream.fileno())  # else Python tries once more when it ends
        os.close(nowhere)


def run(main: Callable[[], int | None], interrupted: str = 'Interrupted.') -> None:
    """Run a command. What the user can correct, bad input and files, ends it with one line on standard error and exit status 1.

    Processes that it forks end with it, and it ends with the launcher that started it.

    Args:
        interrupted: shown when the user stops it.
    """
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # before torch: threads that wait leave the processor to other processes
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
        sys.exit(visible(f'Error: {runnable(str(error))}{_more_space(error)}'))
    except (TypeError, KeyError) as error:
        if not _is_told(error):
            raise
        sys.exit(visible(f'Error: {runnable(str(error.args[0] if error.args else error))}'))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = str(error).strip().partition('\n')[0][:200]
        sys.exit(f'Error: Memory ran out{f" ({reason})" if reason else ""}. Take smaller images or batches, or fewer workers.')
    finally:
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # it runs first: nothing is left to be interrupted
    if status:
        sys.exit(status)


def _is_told(error: BaseException) -> bool:
    """Whether this package has raised an error on purpose, with a message about the input; the others are its own faults."""
    for frame in traceback.extract_tb(error.__traceback__)[-1:]:
        if Path(frame.filename).is_relative_to(Path(__file__).parent) and (frame.line or '').startswith('raise '):
            return True
    inner = error.__context__  # MMEngine raises errors of what it builds once more
    return inner is not None and str(inner) in str(error) and _is_told(inner)


def _more_space(error: Exception) -> str:
    """What to do about a full disk, where the error does not say it."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return '. What is written stays: make space, then give the same command again.' if full and 'make space' not in str(error) else ''


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, or PyTorch on a GPU or the CPU, found no memory; this module does not import PyTorch."""
    return isinstance(error, MemoryError) or type(error).__name__ == 'OutOfMemoryError' or 'DefaultCPUAllocator' in str(error)
