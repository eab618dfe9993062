"""Find values of the runner's keys that mmengine would reject with a traceback, or not at all."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mmlabelpenet.apis.config_dicts import Fault, dicts_within
from mmlabelpenet.apis.registered import Registered, hint, nearest
from mmlabelpenet.schema import is_number, short

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
    ('model', 'num_classes'): 1,
    ('optim_wrapper', 'accumulative_counts'): 1,
    ('train_cfg', 'val_interval'): 1,
}
POSITIVE = {  # numbers above 0, and what else to set
    ('auto_scale_lr', 'base_batch_size'): '',
    ('optim_wrapper', 'clip_grad', 'clip_value'): ' Set clip_grad=None to switch it off.',
    ('optim_wrapper', 'clip_grad', 'max_norm'): ' Set clip_grad=None to switch it off.',
}
DETECTOR = ((), ('backbone',), ('roi_head',), ('roi_head', 'bbox_head'))  # parts of each stage


def wrong_settings(content: Mapping[str, Any], find: Registered) -> Iterator[Fault]:
    """Values of the runner's keys that are not among the allowed ones, and parts that cannot train this model."""
    for path, names in NAMES.items():
        value = get(content, path)
        if isinstance(value, str) and value not in names:
            yield Fault(path, f'{value!r} is not one of {", ".join(names)}.{hint(nearest(value, names))}')
    if content.get('log_level', '') is None:
        yield Fault(('log_level',), f'expected one of {", ".join(NAMES["log_level",])}, got None.')
    for path, least in COUNTS.items():
        if path[-1] in (get(content, path[:-1]) or ()) and not (type(value := get(content, path)) is int and value >= least):
            yield Fault(path, f'expected a whole number from {least} on, got {short(value)}.')
    for path, advice in POSITIVE.items():
        if path[-1] in (get(content, path[:-1]) or ()) and not (is_number(value := get(content, path)) and 0 < value < math.inf):
            yield Fault(path, f'expected a finite number above 0, got {short(value)}.{advice}')
    for path in (('load_from',), ('work_dir',), ('experiment_name',)):
        if not isinstance(value := get(content, path), str | None):
            yield Fault(path, f'expected a text or None, got {short(value)}.')
    for path, node, _ in dicts_within(content):
        if node.get('collect_device', 'cpu') not in ('cpu', 'gpu'):
            yield Fault((*path, 'collect_device'), f'{node["collect_device"]!r} is not one of cpu, gpu.', tuple(node))
        for key in ('ann_file', 'checkpoint'):
            if not isinstance(value := node.get(key), str | Mapping | None):
                yield Fault((*path, key), f'expected a text or None, got {short(value)}.', tuple(node))
    if not get(content, ('optim_wrapper', 'constructor')):
        yield from _wrong_multiples(get(content, ('optim_wrapper', 'paramwise_cfg')) or {})
    optimizer = get(content, ('optim_wrapper', 'optimizer')) or {}
    if not is_number(rate := optimizer.get('lr', 0)) or rate < 0:
        yield Fault(('optim_wrapper', 'optimizer', 'lr'), f'expected a number from 0 on, got {short(rate)}.')
    for path in (('randomness',), ('env_cfg',), ('optim_wrapper', 'optimizer'), ('optim_wrapper', 'paramwise_cfg', 'custom_keys')):
        if path[-1] in (get(content, path[:-1]) or ()) and get(content, path) is None:
            yield Fault(path, 'expected a dict, got None.')
    seed = get(content, ('randomness', 'seed'))
    if seed is not None and not (type(seed) is int and 0 <= seed < 2**32):
        yield Fault(('randomness', 'seed'), f'expected a whole number from 0 to {2**32 - 1}, or None, got {short(seed)}.')
    if get(content, ('model', 'type')) == 'LabelPENet':
        yield from _wrong_for_stages(content, find)


def _wrong_multiples(settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Factors of learning rates and weight decays that are not numbers."""
    path, keys = ('optim_wrapper', 'paramwise_cfg'), settings.get('custom_keys') or {}
    for place, node in {path: settings, **{(*path, 'custom_keys', name): node for name, node in keys.items()}}.items():
        if not isinstance(node, Mapping):
            yield Fault(place, f'expected a dict such as dict(lr_mult=0.1), got {short(node)}.', tuple(keys))
            continue
        for key, value in node.items():
            if key.endswith('_mult') and not (is_number(value) and value >= 0):
                yield Fault((*place, key), f'expected a number from 0 on, got {short(value)}.', tuple(node))


def _wrong_for_stages(content: Mapping[str, Any], find: Registered) -> Iterator[Fault]:
    if not get(content, ('model', 'stages')):
        yield Fault(('model', 'stages'), 'expected a dict of stages, got None.')
    for path in _needed(content):
        if not get(content, path) and (len(path) < 5 or get(content, path[:-1])):
            yield Fault(path, f'expected a dict with a type, got {short(get(content, path))}.')
    for key in LOADERS:
        if isinstance(loader := content.get(key), Mapping) and loader and 'dataset' not in loader:
            yield Fault((key,), f'has no dataset: expected {key}=dict(dataset=dict(type=...), ...).', tuple(loader))
    if content.get('default_scope') in ('mmdet', 'mmengine'):
        yield Fault(('default_scope',), "LabelPENet and its parts are registered in the scope 'mmlabelpenet'.")
    wrapper, constructor = (get(content, ('optim_wrapper', key)) for key in ('type', 'constructor'))
    if str(wrapper).endswith('ApexOptimWrapper'):
        yield Fault(('optim_wrapper', 'type'), f'{wrapper} is not supported. Train with --amp.', text=str(wrapper))
    if isinstance(constructor, str) and find(constructor) is None:
        yield Fault(('optim_wrapper', 'constructor'), f'nothing is registered as {constructor!r}.{hint(find.nearest(constructor))}')
    elif str(constructor).endswith('LearningRateDecayOptimizerConstructor') and 'ConvNeXt' not in str(get(content, ('model', 'backbone'))):
        yield Fault(('optim_wrapper', 'constructor'), f'{constructor} supports only ConvNeXt: use paramwise_cfg.custom_keys.')


def _needed(content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Paths of the parts that the model needs."""
    yield ('model', 'backbone')
    for name, stage in (get(content, ('model', 'stages')) or {}).items():
        if stage is not None:
            yield from (('model', 'stages', name, 'detector', *part) for part in DETECTOR)


def get(content: Any, path: tuple[str, ...]) -> Any:
    """A value in nested dicts; None if there is none.

    >>> get(dict(a=dict(b=1)), ('a', 'b')), get(dict(a=None), ('a', 'b'))
    (1, None)
    """
    for key in path:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content
