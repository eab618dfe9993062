"""Find values of the runner's keys that mmengine would reject with a traceback, or not at all."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmlabelpenet.apis.config_dicts import Fault
from mmlabelpenet.apis.registered import Registered, hint, nearest
from mmlabelpenet.schema import short

NAMES = {  # allowed values
    ('log_level',): ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'),
    ('default_scope',): Registered.SCOPES,
    ('runner_type',): ('Runner',),
    ('env_cfg', 'mp_cfg', 'mp_start_method'): ('fork', 'spawn', 'forkserver'),
}

LOADERS = ('train_dataloader', 'label_dataloader', 'val_dataloader', 'test_dataloader', 'corloc_dataloader')
COUNTS = {  # minimum of whole numbers
    **{(loader, 'batch_size'): 1 for loader in LOADERS},
    **{(loader, 'num_workers'): 0 for loader in LOADERS},
    ('optim_wrapper', 'accumulative_counts'): 1,
    ('train_cfg', 'val_interval'): 1,
}


def wrong_settings(content: Mapping[str, Any], find: Registered) -> Iterator[Fault]:
    """Values of the runner's keys that are not among the allowed ones, and parts that cannot train this model."""
    for path, names in NAMES.items():
        value = get(content, path)
        if isinstance(value, str) and value not in names:
            yield Fault(path, f'{value!r} is not one of {", ".join(names)}.{hint(nearest(value, names))}')
    for path, least in COUNTS.items():
        if path[-1] in (get(content, path[:-1]) or ()) and not (type(value := get(content, path)) is int and value >= least):
            yield Fault(path, f'expected a whole number from {least} on, got {short(value)}.')
    optimizer = get(content, ('optim_wrapper', 'optimizer')) or {}
    if not isinstance(rate := optimizer.get('lr', 0), int | float) or rate < 0:
        yield Fault(('optim_wrapper', 'optimizer', 'lr'), f'expected a number from 0 on, got {short(rate)}.')
    for key in ('randomness', 'env_cfg'):
        if key in content and content[key] is None:
            yield Fault((key,), 'expected a dict, got None.')
    seed = get(content, ('randomness', 'seed'))
    if seed is not None and not (type(seed) is int and 0 <= seed < 2**32):
        yield Fault(('randomness', 'seed'), f'expected a whole number from 0 to {2**32 - 1}, or None, got {short(seed)}.')
    if get(content, ('model', 'type')) == 'LabelPENet':
        yield from _wrong_for_stages(content, find)


def _wrong_for_stages(content: Mapping[str, Any], find: Registered) -> Iterator[Fault]:
    if content.get('default_scope') in ('mmdet', 'mmengine'):
        yield Fault(('default_scope',), "LabelPENet and its parts are registered in the scope 'mmlabelpenet'.")
    wrapper, constructor = (get(content, ('optim_wrapper', key)) for key in ('type', 'constructor'))
    if str(wrapper).endswith('ApexOptimWrapper'):
        yield Fault(('optim_wrapper', 'type'), f'{wrapper} is not supported. Train with --amp.', text=str(wrapper))
    if isinstance(constructor, str) and find(constructor) is None:
        yield Fault(('optim_wrapper', 'constructor'), f'nothing is registered as {constructor!r}.{hint(find.nearest(constructor))}')
    elif str(constructor).endswith('LearningRateDecayOptimizerConstructor') and 'ConvNeXt' not in str(get(content, ('model', 'backbone'))):
        yield Fault(('optim_wrapper', 'constructor'), f'{constructor} supports only ConvNeXt: use paramwise_cfg.custom_keys.')


def get(content: Any, path: tuple[str, ...]) -> Any:
    """A value in nested dicts; None if there is none.

    >>> get(dict(a=dict(b=1)), ('a', 'b')), get(dict(a=None), ('a', 'b'))
    (1, None)
    """
    for key in path:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content
