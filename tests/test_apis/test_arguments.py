"""Which arguments a class takes."""

import pytest

from mmlabelpenet.apis.arguments import arguments
from mmlabelpenet.engine.hooks.atomic_checkpoint import AtomicCheckpointHook
from mmlabelpenet.workbench.variants import ASPPTail


class First:
    def __init__(self, a, *, b=1):
        pass


class PassedOn(First):
    def __init__(self, c, **kwargs):
        super().__init__(**kwargs)


class ToAnother:
    def __init__(self, c, **others):
        self.part = First(**others)


class Picked:
    def __init__(self, **kwargs):
        self.d, self.e = kwargs.pop('d'), kwargs['e']
        if 'f' in kwargs:
            self.f = kwargs.get('f')


class Swallowed:
    def __init__(self, a, **kwargs):
        self.a = a


class Kept:
    def __init__(self, a, **kwargs):
        self.kwargs = kwargs


class Nothing:
    pass


@pytest.mark.parametrize(
    ('target', 'names', 'anything'),
    [
        (First, 'ab', False),
        (PassedOn, 'cab', False),
        (ToAnother, 'cab', False),
        (Picked, 'def', False),
        (Swallowed, 'a', False),
        (Kept, 'a', True),
        (Nothing, '', False),
        (First.__init__, 'ab', False),
    ],
)
def test_keywords_are_followed_to_where_they_go(target, names, anything):
    found, more = arguments(target)
    assert set(found) == set(names) and more is anything


def test_what_a_class_keeps_for_later_counts_where_it_is_known():
    found, anything = arguments(AtomicCheckpointHook)
    assert {'interval', 'max_keep_ckpts', 'save_optimizer'} <= set(found) and not anything


def test_a_class_with_a_part_takes_the_arguments_of_the_part():
    found, anything = arguments(ASPPTail)
    assert {'in_channels', 'channels', 'out_channels', 'dilations'} <= set(found) and not anything
