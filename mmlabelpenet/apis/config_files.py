"""The files of a config, and the lines in which its names are set."""

import ast
import difflib
import importlib.util
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml
from mmengine.config import Config

from mmlabelpenet.files import given_path, shown
from mmlabelpenet.schema import read_text

SUFFIXES = ('.py', '.json', '.yaml', '.yml')
_MOST_COMPARED = 2000  # files among which alternatives to a missing base are suggested


def config_files(path: str | os.PathLike[str]) -> list[Path]:
    """A config and all its bases, each once, overriding files before overridden ones.

    Raises:
        FileNotFoundError: a base is missing; names the file that needs it and the most similar existing one.
        ValueError: a file is not Python, or a config is among its own bases; names file and line.
    """
    found: dict[Path, None] = {}
    _visit(Path(path), found, ())
    return list(found)


def _visit(path: Path, found: dict[Path, None], above: tuple[Path, ...]) -> None:
    if path in above:
        raise ValueError(f'{shown(path)}: _base_: the config is among its own bases: {" -> ".join(map(shown, [*above, path]))}.')
    found.setdefault(path)
    for base in reversed(_bases(path)):
        _visit(_base_path(base, path), found, (*above, path))


def _bases(path: Path) -> list[str]:
    tree = parsed(path)  # reports syntax errors
    try:
        bases = Config._get_base_files(str(path))
    except AttributeError as error:  # of a list, a number, ...
        raise ValueError(f'{shown(path)} is not a config: it contains no names with values.') from error
    except (NameError, TypeError, ValueError, KeyError) as error:
        raise ValueError(f'{shown(path)}:{line_of(tree, "_base_")}: _base_: {error}') from error
    if not all(isinstance(base, str) for base in bases):
        raise ValueError(f'{shown(path)}:{line_of(tree, "_base_")}: _base_: expected file names, got {bases}.')
    return bases


def config_path(name: str | os.PathLike[str]) -> Path:
    """The file of a config: a path, or ``package::path`` below the configs of an installed package.

    >>> config_path('mmlabelpenet::labelpenet/labelpenet_lite0_animals.py').name
    'labelpenet_lite0_animals.py'
    """
    package, external, path = str(name).rpartition('::')
    return _configs_of(package).resolve() / path if external else given_path(name)


def _base_path(base: str, path: Path) -> Path:
    package, external, name = base.rpartition('::')
    folder = _configs_of(package) if external else path.parent
    target = Path(os.path.normpath(folder / name))
    if not target.is_file():
        near = nearest_file(target)
        hint = f' Did you mean {package + external + os.path.relpath(near, folder)!r}?' if near else ''
        raise FileNotFoundError(f'{shown(path)}:{line_of(parsed(path), "_base_")}: _base_: {base!r} does not exist.{hint}')
    return target


def _configs_of(package: str) -> Path:
    """The config folder of an installed package; it does not exist if the package has no configs."""
    found = importlib.util.find_spec(package)
    return Path(found.origin or '').parent / '.mim' / 'configs' if found else Path(package)


def nearest_file(missing: Path) -> Path | None:
    """The Python file whose path is most similar to a missing one's, below the existing parent folders of that path."""
    folder = next(parent for parent in missing.parents if parent.is_dir())
    if len(missing.relative_to(folder).parts) > 3:  # no part of the path exists
        return None
    files = {str(file.relative_to(folder)): file for file in itertools.islice(folder.rglob('*.py'), _MOST_COMPARED)}
    near = difflib.get_close_matches(str(missing.relative_to(folder)), files, n=1, cutoff=0.6)
    return files[near[0]] if near else None


def parsed(path: Path) -> ast.Module:
    """Parse a file into a syntax tree; empty if it is not a Python file.

    Raises:
        ValueError: a syntax error, reported with file and line, a file of another kind, or YAML with tags that call functions.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f'{shown(path)} is not a config: their names end in {", ".join(SUFFIXES)}.')
    text = read_text(path)
    try:
        if path.suffix in ('.yaml', '.yml'):
            yaml.safe_load(text)  # mmengine's reader would call the function that a tag names
        return ast.parse(text if path.suffix == '.py' else '')
    except SyntaxError as error:
        raise ValueError(f'{shown(path)}:{error.lineno}: {error.msg}: {(error.text or "").strip()!r}') from error
    except yaml.YAMLError as error:
        raise ValueError(f'{shown(path)} is not plain YAML: {" ".join(str(error).split())}') from error


def line_of(tree: ast.Module, key: str, beside: Iterable[str] = ()) -> int:
    """Line in which a key is set; 0 if there is none.

    Args:
        beside: keys of the dict that contains the key; the most similar dict is taken. Empty: a variable of the file.

    >>> tree = ast.parse(chr(10).join(['a = 1', 'b = dict(c=dict(d=1), **dict(e=2))', 'f = dict(d=1, g=1)']))
    >>> line_of(tree, 'f'), line_of(tree, 'd', ['d', 'e']), line_of(tree, 'd', ['d', 'g']), line_of(tree, 'd')
    (3, 2, 3, 0)
    """
    variables, *dicts = _dicts(tree)
    wanted = set(beside)
    places = [keys for keys in (dicts if wanted else [variables]) if key in keys]
    return min(places, key=lambda keys: len(wanted ^ keys.keys()), default={key: 0})[key]


def _dicts(tree: ast.Module) -> Iterator[dict[str, int]]:
    """Keys of each dict literal in a file, with their lines; the file's variables come first."""
    yield {node.id: node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield {word.arg: word.value.lineno for word in node.keywords if word.arg}
        elif isinstance(node, ast.Dict):
            yield {word.value: word.lineno for word in node.keys if isinstance(word, ast.Constant) and isinstance(word.value, str)}


def place_of_key(files: Sequence[Path], key: str, beside: Iterable[str] = ()) -> str:
    """``file:line`` where a key is set, in the first file that sets it; empty if none does."""
    return next((f'{shown(file)}:{line}' for file in files if (line := line_of(parsed(file), key, beside))), '')


def place_of_text(files: Sequence[Path], text: str) -> str:
    """``file:line`` of a string in the first file that contains it; empty if none does."""
    for file in files:
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Constant) and node.value == text:
                return f'{shown(file)}:{node.lineno}'
    return ''


def names_read(files: Iterable[Path]) -> set[str]:
    """Names whose value some file uses: ``data_root`` in ``dict(root=data_root)``, ``x`` in ``{{_base_.x}}`` or ``_base_.x``."""
    nodes = [node for file in files for node in ast.walk(parsed(file))]
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
