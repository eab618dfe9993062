"""Command-line options: numbers with a range, ``KEY=VALUE`` words, options that may precede a config. Imports no framework."""

import argparse
import ast
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

_CONSTANTS = {'true': True, 'false': False, 'none': None, 'null': None}
_BRACKETS = {'(': ')', '[': ']', '{': '}'}


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """An ``argparse`` type: an integer.

    >>> whole(1)('2')
    2
    >>> whole(1)('0')
    Traceback (most recent call last):
    argparse.ArgumentTypeError: expected a whole number from 1 on, got '0'
    """

    def read(text: str) -> int:
        expected = f'a whole number from {least}{" on" if most == math.inf else f" to {most}"}'
        return int(_read(text, int, least, most, expected))

    return read


def decimal(least: float, most: float = math.inf) -> Callable[[str], float]:
    """An ``argparse`` type: a finite number.

    >>> decimal(0, 1)('0.3')
    0.3
    >>> decimal(0, 1)('nan')
    Traceback (most recent call last):
    argparse.ArgumentTypeError: expected a number from 0 to 1, got 'nan'
    """
    return lambda text: _read(text, float, least, most, f'a number from {least}{" on" if most == math.inf else f" to {most}"}')


def share(text: str) -> float:
    """An ``argparse`` type: the share of a part that is not the whole, in [0, 1).

    >>> share('0.1')
    0.1
    >>> share('1')
    Traceback (most recent call last):
    argparse.ArgumentTypeError: expected a number from 0 to below 1, got '1'
    """
    return _read(text, float, 0, math.nextafter(1, 0), 'a number from 0 to below 1')


seed = whole(0, 2**32 - 1)


def _read(text: str, kind: Callable[[str], float], least: float, most: float, expected: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not (least <= value <= most and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f'expected {expected}, got {text!r}')
    return value


class Parser(argparse.ArgumentParser):
    """The parser of every command: it shows its description without reformatting and rejects empty arguments.

    An empty name of a file or a folder, for example from an unset shell variable, would silently mean the working directory.

    >>> parser = Parser(exit_on_error=False)
    >>> _ = parser.add_argument('--out')
    >>> parser.parse_args(['--out', 'a']).out
    'a'

    Args:
        instead: replacements for options of other programs, by option name.
    """

    def __init__(self, *args: Any, instead: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **{'formatter_class': argparse.RawDescriptionHelpFormatter, **kwargs})
        self.instead = instead or {}

    def error(self, message: str) -> NoReturn:
        """As argparse's; ends with exit status 2."""
        unknown = [word.partition('=')[0] for word in message.split()] if message.startswith('unrecognized') else []
        advice = [f'Use {self.instead[word]} instead of {word}.' for word in unknown if word in self.instead]
        super().error(' '.join([f'{message}.' if advice else message, *advice]))

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's; ends with exit status 2 for an empty text."""
        words = [*(sys.argv[1:] if args is None else args)]
        for before, word in zip(['', *words], words):
            if not word.strip() or re.fullmatch(r'--[\w-]+=\s*', word):
                named = word.rstrip('= ') or (before if before.startswith('-') else '')
                self.error(f'{f"argument {named}: " if named else ""}expected a value, got an empty text')
        return super().parse_known_args(words, namespace)


class ConfigOptions(argparse.Action):
    """The action of ``--cfg-options KEY=VALUE ...``: ``args.cfg_options`` becomes the dict of :func:`parse_options`.

    If the option is given twice, both apply, as with mmengine's ``DictAction``.

    >>> parser = Parser()
    >>> _ = parser.add_argument('--cfg-options', action=ConfigOptions)
    >>> parser.parse_args(['--cfg-options', 'a.b=1', 'c=[x,y]', '--cfg-options', 'd=none']).cfg_options
    {'a.b': 1, 'c': ['x', 'y'], 'd': None}
    """

    def __init__(self, option_strings: Sequence[str], dest: str, help: str = 'override config keys, e.g. randomness.seed=1') -> None:
        super().__init__(option_strings, dest, nargs='+', default={}, metavar='KEY=VALUE', help=help)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Add the words of one ``--cfg-options``."""
        try:
            setattr(namespace, self.dest, getattr(namespace, self.dest) | parse_options(values))
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from error


def before_config(words: Sequence[str], switches: Mapping[str, str]) -> list[str]:
    """Let options with an optional value precede a config, which argparse would take as the value.

    Args:
        switches: default value of each such option.

    >>> before_config(['--amp', 'config.py', '--amp', 'fp16'], {'--amp': 'bf16'})
    ['--amp=bf16', 'config.py', '--amp', 'fp16']
    """
    following = [*words[1:], '']
    return [f'{word}={switches[word]}' if word in switches and after.endswith('.py') else word for word, after in zip(words, following)]


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Turn ``KEY=VALUE`` words into config overrides; values as :func:`parse_value` reads them.

    Raises:
        ValueError: a word is not ``KEY=VALUE``, or the brackets or quotes of its value do not match.

    >>> parse_options(['randomness.seed=1', 'work_dir=out', 'model.share_tail=false', 'a.b=[1, 2]'])
    {'randomness.seed': 1, 'work_dir': 'out', 'model.share_tail': False, 'a.b': [1, 2]}
    """
    parsed = {}
    for option in options:
        key, sign, value = option.partition('=')
        if not sign or not all(key.strip().split('.')):
            raise ValueError(f'Config options are KEY=VALUE, such as randomness.seed=1, got {option!r}.')
        try:
            parsed[key.strip()] = parse_value(value)
        except ValueError as error:
            raise ValueError(f'The option {option} cannot be read: {error}') from error
    return parsed


def option_words(options: Mapping[str, Any]) -> list[str]:
    """Config overrides as words for :func:`parse_options`; text is quoted if it would be parsed as another type.

    >>> option_words({'a.b': 1, 'c': 'x', 'd': 'x,y'})
    ['a.b=1', 'c=x', "d='x,y'"]
    """
    return [f'{key}={value if _reads_as(str(value), value) else repr(value)}' for key, value in options.items()]


def _reads_as(text: str, value: Any) -> bool:
    """Whether a text is read as a value."""
    try:
        return parse_value(text) == value
    except ValueError:
        return False


def parse_value(text: str) -> Any:
    """Parse a command-line value like mmengine's ``DictAction``, with dicts in addition.

    Numbers are numbers; ``true``, ``false``, ``none`` and ``null`` are constants in upper and lower case; ``a,b`` and ``[a,b]`` are lists,
    ``(a,b)`` is a tuple, ``dict(a=b)`` and ``{a: b}`` are dicts; the rest is text. Quoted text is not parsed.

    Raises:
        ValueError: brackets or quotes do not match.

    >>> parse_value('1,2.5,x'), parse_value('(null, False)'), parse_value("[dict(type='ToyHook', ids=[1])]")
    ([1, 2.5, 'x'], (None, False), [{'type': 'ToyHook', 'ids': [1]}])
    >>> parse_value('data/VOC2007'), parse_value("'false'"), parse_value("'a,b'")
    ('data/VOC2007', 'false', 'a,b')
    """
    text = text.strip()
    if text.endswith(',') or len(list(_split(text))) > 1:
        return _items(text)
    if _encloses(text, '['):
        return _items(text[1:-1])
    if _encloses(text, '('):
        return tuple(_items(text[1:-1]))
    if text.startswith('dict') and _encloses(text[4:], '('):
        return {key: parse_value(value) for key, value in _pairs(text[5:-1], '=')}
    if _encloses(text, '{'):
        return {parse_value(key): parse_value(value) for key, value in _pairs(text[1:-1], ':')}
    return _parse_word(text)


def _parse_word(text: str) -> Any:
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    for read in [ast.literal_eval] if text[:1] in ('"', "'") else [int, float]:
        try:
            value = read(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, float) and math.isinf(value) and 'inf' not in text.lower():
            raise ValueError(f'{text} is too large for a number.')
        return value
    return text


def _encloses(text: str, bracket: str) -> bool:
    return text.startswith(bracket) and text.endswith(_BRACKETS[bracket])


def _items(text: str) -> list[Any]:
    return [parse_value(item) for item in _split(text)]


def _pairs(text: str, sign: str) -> Iterator[tuple[str, str]]:
    for item in _split(text):
        key, *value = _split(item, sign)
        if not value:
            raise ValueError(f'expected KEY{sign}VALUE in a dict, got {item.strip()!r}.')
        yield key.strip(), sign.join(value)


def _split(text: str, sign: str = ',') -> Iterator[str]:
    """Parts of a text between separators outside brackets and quotes; an empty last part is dropped."""
    closing: list[str] = []
    quote, start = '', 0
    for index, char in enumerate(text):
        if quote:
            quote = '' if char == quote else quote
        elif char in '\'"' and (text[:index].rstrip() or ',')[-1] in '([{=:,':  # else an apostrophe
            quote = char
        elif char in _BRACKETS:
            closing.append(_BRACKETS[char])
        elif closing and char == closing[-1]:
            closing.pop()
        elif char == sign and not closing:
            yield text[start:index]
            start = index + 1
    if closing or quote:
        raise ValueError(f'{quote or closing[-1]} is missing. Quote text that contains brackets, commas or quotes.')
    if text[start:].strip():
        yield text[start:]
