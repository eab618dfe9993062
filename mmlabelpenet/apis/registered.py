"""Look up registered names, and suggest the most similar one for an unknown name."""

import difflib
import importlib
from collections.abc import Callable, Iterable


class Registered:
    """Lookup of names in every registry that a config can reach.

    Args:
        default_scope: of the config; names without a scope are looked up there first.
    """

    SCOPES = ('mmlabelpenet', 'mmdet', 'mmengine')

    def __init__(self, default_scope: str) -> None:
        self.scopes = list(dict.fromkeys([default_scope, *self.SCOPES]))
        self.tables = self._tables('mmlabelpenet.registry')

    def __call__(self, kind: str, scope: str | None = None) -> Callable | None:
        """The class or function of a name; None if there is none."""
        found = self._find(kind, scope)
        if found is None:
            self.tables = self._tables('mmlabelpenet.registry', 'mmdet.registry', 'mmengine.registry')
            found = self._find(kind, scope)
        return found

    def nearest(self, kind: str) -> str:
        """The registered name most similar to an unknown one, empty if none is."""
        scope, dot, name = kind.rpartition('.')
        scopes = [nearest(scope, self.scopes), *self.scopes]
        homes = {known: home for home in reversed(scopes) for known in self.tables.get(home, {})}
        near = nearest(name, homes)
        return f'{homes[near]}.{near}' if near and dot else near

    def _find(self, kind: str, scope: str | None) -> Callable | None:
        first, dot, name = kind.partition('.')
        if dot and (found := self.tables.get(first, {}).get(name)):
            return found
        if dot:  # possibly a class by its import path
            from mmengine.utils import get_object_from_string

            return get_object_from_string(kind)
        return next((table[kind] for s in [scope or self.scopes[0], *self.scopes] if kind in (table := self.tables.get(s, {}))), None)

    @staticmethod
    def _tables(*imported: str) -> dict[str, dict[str, Callable]]:
        """``scope -> name -> class`` of all registries; their modules are imported first."""
        from mmengine.registry import Registry

        tables: dict[str, dict[str, Callable]] = {}
        for module in ('mmlabelpenet.registry', 'mmdet.registry', 'mmengine.registry'):
            for registry in vars(importlib.import_module(module)).values():
                if isinstance(registry, Registry):
                    if module in imported:
                        registry.import_from_location()
                    tables.setdefault(registry.scope, {}).update(registry.module_dict)
        return tables


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """The name most similar to another one, ignoring letter case; empty if none is.

    >>> nearest('voctags', ['VOCTags', 'VOCDataset'])
    'VOCTags'
    """
    known = {each.lower(): each for each in sorted(names)}
    return next((known[near] for near in difflib.get_close_matches(name.lower(), known, n=1, cutoff=cutoff)), '')


def hint(near: str) -> str:
    """The suggestion at the end of an error message.

    >>> hint('seed'), hint('')
    (" Did you mean 'seed'?", '')
    """
    return f' Did you mean {near!r}?' if near else ''
