"""Mutations of files, and a guard around their readers: bounded time and memory, no network, no processes, nothing written elsewhere."""

import copy
import json
import os
import resource
import signal
import struct
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

SECONDS = 10  # of the processor; a minute where it waits
MEMORY = 4 << 30  # bytes beyond what the process has when the file is opened
NETWORK = ('socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'urllib.Request')
PROCESSES = ('os.system', 'subprocess.Popen', 'os.exec', 'os.posix_spawn', 'os.spawn', 'pty.spawn')
CHANGES = ('os.mkdir', 'os.rename', 'os.remove', 'os.rmdir', 'os.link', 'os.symlink', 'os.truncate', 'os.chmod', 'shutil.rmtree')
NAMES = ('../../escaped', '/tmp/escaped', 'a\0b', 'a\nb', '', '.', ' ', 'x' * 5000, '\ud800', '{{$HOME:a}}', '<script>alert(1)</script>')
VALUES = (None, True, -1, 0, 1, 7, 99, 0.5, -0.0, 1e308, -1e-308, 10**9, 10**30, [], {}, [1, 2, 3], [[]], {'a': 1}, *NAMES)
TEXTS = ('NaN', 'Infinity', '-Infinity', '1e999', '9' * 400, '[' * 100_000, '{"a":' * 3000, '"', '\\u0000', '\ufeff', '//', "'")

_watched: list[tuple[Path, list[str]]] = []


class TooSlow(BaseException):
    """A reader that hangs."""


@contextmanager
def guarded(folder):
    """Watch the operations in the block.

    Args:
        folder: the only one that may be written to.

    Yields:
        A list that collects forbidden operations, one line each.
    """
    if not _watched:
        sys.addaudithook(_hear)
        _watched.append((Path('/'), []))
    done: list[str] = []
    size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    handlers = [(number, signal.signal(number, _stop)) for number in (signal.SIGALRM, signal.SIGPROF)]
    signal.setitimer(signal.ITIMER_REAL, 6 * SECONDS)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, hard))
    _watched.append((Path(folder).resolve(), done))
    try:
        yield done
    finally:
        _watched.pop()
        for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        for number, handler in handlers:
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _stop(number, frame):
    raise TooSlow(f'longer than {SECONDS} seconds')


def _hear(event, arguments):
    if len(_watched) < 2:
        return
    folder, done = _watched[-1]
    if event in NETWORK or event in PROCESSES:
        done.append(f'{event} {arguments}')
    elif event == 'open':
        path, mode, flags = arguments
        writes = (
            any(letter in mode for letter in 'wax+') if isinstance(mode, str) else (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if writes and not isinstance(path, int):
            _check(event, path, folder, done)
    elif event in CHANGES and not any(isinstance(value, int) and value >= 0 for value in arguments[-2:] if event != 'os.mkdir'):
        for path in arguments[:2] if event in ('os.rename', 'os.link', 'os.symlink') else arguments[:1]:
            _check(event, path, folder, done)


def _check(event, path, folder, done):
    place = Path(os.path.realpath(os.fsdecode(path)))
    if not place.is_relative_to(folder) and '__pycache__' not in place.parts and not str(place).startswith('/dev/'):
        done.append(f'{event} {place}')


def mutated(content, kind):
    """A strategy for mutations of a valid file.

    Args:
        content: bytes of the valid file.
        kind: ``'json'``, ``'text'`` or ``'bytes'``; the first two are also mutated in the ways after them.
    """
    ways = [_bytes(content)]
    if kind in ('json', 'text'):
        ways += [_text(content.decode())] * 2
    if kind == 'json':
        ways += [_json(json.loads(content))] * 4
    return st.one_of(ways)


@st.composite
def _bytes(draw, content):
    way = draw(st.sampled_from(('cut', 'flip', 'insert', 'repeat', 'encode', 'mark')))
    if way == 'encode':
        return content.decode('latin-1').encode(draw(st.sampled_from(('utf-16', 'utf-16-le', 'utf-32'))))
    if way == 'mark':
        return b'\xef\xbb\xbf' + content
    place = draw(st.integers(0, len(content)))
    if way == 'cut':
        return content[:place]
    if way == 'flip':
        changed = bytearray(content)
        for _ in range(draw(st.integers(1, 8))):
            if changed:
                changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
        return bytes(changed)
    if way == 'insert':
        return content[:place] + draw(st.binary(max_size=20)) + content[place:]
    end = draw(st.integers(place, len(content)))
    return content[:end] + content[place:end] * draw(st.integers(1, 3)) + content[end:]


@st.composite
def _text(draw, text):
    lines = text.split('\n')
    number = draw(st.integers(0, len(lines) - 1))
    piece = draw(st.sampled_from(TEXTS + NAMES) | st.text(max_size=20))
    way = draw(st.sampled_from(('replace', 'insert', 'remove', 'repeat', 'line')))
    words = lines[number].split(' ')
    if way == 'replace':
        words[draw(st.integers(0, len(words) - 1))] = piece
        lines[number] = ' '.join(words)
    elif way == 'insert':
        place = draw(st.integers(0, len(lines[number])))
        lines[number] = lines[number][:place] + piece + lines[number][place:]
    elif way == 'remove':
        del lines[number]
    elif way == 'repeat':
        lines.insert(number, lines[number])
    else:
        lines.insert(number, piece)
    return '\n'.join(lines).encode('utf-8', 'surrogatepass')


@st.composite
def _json(draw, content):
    content = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 3))):
        content = _changed(draw, content, draw(st.integers(0, 8)))
    if draw(st.integers(0, 9)) == 0:  # two ways to write what JSON cannot hold
        return json.dumps(content).replace('0', draw(st.sampled_from(TEXTS[:7])), 1).encode()
    return json.dumps(content).encode()


def _changed(draw, node, depth):
    """The node with one change up to so deep in it."""
    if depth and isinstance(node, dict | list) and node:
        key = draw(st.sampled_from(sorted(node))) if isinstance(node, dict) else draw(st.integers(0, len(node) - 1))
        way = draw(st.integers(0, 9))
        if way == 0:
            del node[key]
        elif way == 1 and isinstance(node, list):
            node.append(node[key])
        elif way == 2 and isinstance(node, dict):
            node[draw(st.sampled_from(NAMES[:8]))] = node[key]
        else:
            node[key] = _changed(draw, node[key], depth - 1)
        return node
    values = st.sampled_from(VALUES).map(copy.deepcopy)  # what is drawn may be changed in turn
    return draw(values | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8))


def png(width, height, colour, data=b''):
    """A PNG that claims a size, with a given amount of data."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    header = struct.pack('>IIBBBBB', width, height, 8, colour, 0, 0, 0)
    palette = chunk(b'PLTE', bytes(768)) if colour == 3 else b''
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + palette + chunk(b'IDAT', zlib.compress(data)) + chunk(b'IEND', b'')
