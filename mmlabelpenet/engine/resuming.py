"""Compare a resumed run with the run that it continues, and warn about differences."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.logging import MessageHub
from torch.utils.data import DataLoader

from mmlabelpenet.datasets.label_writer import differences
from mmlabelpenet.log import warn
from mmlabelpenet.schema import plain_json, short

_FREE = ('work_dir', 'experiment_name', 'launcher', 'load_from', 'resume', 'log_level')  # keys that do not affect results
_SHOWN = 8  # maximum number of changes in a warning


def compare_run(config: Config, loader: DataLoader, batches_per_update: int) -> None:
    """Continue the sampling of a resumed run, and warn if its batches, config or data have changed.

    The compared values are kept in the message hub, and so in every checkpoint.

    Args:
        config: of the runner.
        loader: data loader of the training split; its sampler gets the original seed of the run.
        batches_per_update: mini-batches per iteration.
    """
    hub = MessageHub.get_current_instance()
    batches = get_world_size(), batches_per_update, loader.batch_size
    settings = {key: value for key, value in config.to_dict().items() if key not in _FREE}
    configured = (settings.pop('randomness', None) or {}).get('seed')
    now = dict(batches=batches, seed=loader.sampler.seed, config=plain_json(settings), data=loader.dataset.inputs())
    begun = now | hub.get_info('run', {})
    if (was := tuple(begun['batches'])) != batches:
        before, after = ('{} ranks x {} batches x {} images'.format(*each) for each in (was, batches))
        warn(
            f'An iteration had {before}, and now has {after}. The position in the data is counted in batches: some images are repeated '
            'or skipped in this pass.'
        )
    if changed := list(changed_keys(begun['config'], now['config'])):
        more = f' and {len(changed) - _SHOWN} more' if len(changed) > _SHOWN else ''
        warn(f'The config has changed since the checkpoint was written, and the new values are used: {", ".join(changed[:_SHOWN])}{more}.')
    if changed := differences(begun['data'], now['data']):
        moved = ' Some images are repeated or skipped in this pass.' if 'images' in changed else ''
        warn(f'The training set has changed since the checkpoint was written: its {", ".join(changed)}.{moved}')
    if configured is not None and begun['seed'] != now['seed']:
        warn(f'The run continues with its original seed {begun["seed"]}, not with {now["seed"]}.')
    loader.sampler.seed = now['seed'] = begun['seed']
    hub.update_info('run', now)


def changed_keys(before: Any, now: Any, key: str = '') -> Iterator[str]:
    """Dotted keys of two plain values that differ, each with both values.

    >>> list(changed_keys({'a': {'b': 1, 'c': 2}}, {'a': {'b': 3, 'c': 2}, 'd': None}))
    ['a.b (1 -> 3)', 'd (absent -> None)']
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in [*before, *(name for name in now if name not in before)]:
            yield from changed_keys(before.get(name, _Absent), now.get(name, _Absent), f'{key}.{name}' if key else name)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, pair in enumerate(zip(before, now, strict=True)):
            yield from changed_keys(*pair, f'{key}.{index}')
    elif before != now:
        yield f'{key} ({" -> ".join("absent" if value is _Absent else short(value) for value in (before, now))})'


class _Absent:
    """Marks a key missing from one of two dicts."""
