"""Replace the code of loaded functions, or of a module to be imported."""

import ast
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections import defaultdict
from functools import _lru_cache_wrapper
from pathlib import Path
from types import CodeType, FunctionType

import pytest


class Finder(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from a given source; a plugin of pytest, whose own importer would read the file."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        importlib.machinery.SourceFileLoader.__init__(self, name, str(path))
        self.source = source

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, name: str) -> object:
        return compile(self.source, self.path, 'exec')


def functions(code: CodeType) -> dict[str, CodeType]:
    """Code of a module's functions and methods by qualified name; the last one if a name occurs several times."""
    found = {}
    for part in code.co_consts:
        if isinstance(part, CodeType):
            found |= {part.co_qualname: part, **functions(part)}
    return found


def holder(path: Path, line: int) -> str | None:
    """The outermost function around a line whose body, not whose defaults or decorators, the line is in."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ClassDef | ast.Module):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.body[0].lineno <= line <= inner.end_lineno:
                    return inner.name if isinstance(node, ast.Module) else f'{node.name}.{inner.name}'
    return None


class Loaded:
    """The functions and caches of the package that this process has loaded."""

    def __init__(self) -> None:
        self.functions, self.caches = defaultdict(list), []
        gc.unfreeze()  # what conftest.py has frozen is not among the objects
        for each in gc.get_objects():
            if isinstance(each, FunctionType):
                self.functions[each.__code__.co_filename, each.__code__.co_qualname].append(each)
            elif isinstance(each, _lru_cache_wrapper) and str(each.__module__).startswith('mmlabelpenet'):
                self.caches.append(each)

    def replace(self, path: Path, name: str, source: str) -> bool:
        """Give the functions of this name the code of another source; whether that was possible."""
        code, mine = functions(compile(source, path, 'exec')).get(name), self.functions[str(path), name]
        try:
            for function in mine:
                function.__code__ = code
        except (TypeError, ValueError):  # other variables of an outer function
            return False
        for cache in self.caches:
            cache.cache_clear()
        return bool(mine)
