"""Read configs, with one-line errors that name file and key."""

import copy
import hashlib
import json
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.data import Dataset

from mmlabelpenet.apis.built_parts import named_parts
from mmlabelpenet.apis.config_dicts import not_dicts, refuse, without_dataset
from mmlabelpenet.apis.config_files import config_files, config_path, nearest_file
from mmlabelpenet.apis.config_overrides import in_order, overridden
from mmlabelpenet.apis.evaluators import stage_metric
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.devkit import Devkit, open_devkit
from mmlabelpenet.files import require_file, shown
from mmlabelpenet.registry import DATASETS, MODELS

# Hooks that mmengine's runner registers by default.
MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


class MissingPart(AttributeError, KeyError, ValueError):
    """A config lacks a part that a command reads; the message names both."""


class PlainConfig(Config):
    """A config that is unchanged after being written and read again: text from data is not substituted.

    Reading a part that it lacks raises a MissingPart.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            raise self._missing(name) from error

    def __getitem__(self, name: str) -> Any:
        try:
            return super().__getitem__(name)
        except KeyError as error:
            raise self._missing(name) from error

    def _missing(self, name: str) -> MissingPart:
        return MissingPart(f'{shown(self.filename)} is not a config for this: it has no {name}.')

    @property
    def pretty_text(self) -> str:
        """Python code."""
        return unsubstituted(super().pretty_text)


def unsubstituted(code: str) -> str:
    """Python code in whose strings MMEngine finds nothing to substitute, such as ``{{$NAME:default}}``.

    >>> unsubstituted("classes = ('{{$HOME:a}}',)")
    "classes = ('{\\\\x7b$HOME:a}}',)"
    """
    return code.replace('{{', '{\\x7b')


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a config with its bases and apply overrides; :func:`~.config_check.check_config` validates it.

    Args:
        path: of a file, or ``package::path`` for a config of an installed package, such as
            ``mmlabelpenet::labelpenet/labelpenet_lite0_animals.py``.
        overrides: values by dotted keys.

    Raises:
        FileNotFoundError: there is no such file, or a base is missing.
        ValueError: a file is not a config, an override does not match, or a value is not a dict where one is required.
    """
    path = config_path(path)
    if path.is_dir():
        raise ValueError(f'{path} is a folder, not a config. Name a file in it.')
    near = None if path.exists() else nearest_file(path.absolute())
    hint = f'Did you mean {shown(near)}?' if near else 'Configs are in configs/, or use mmlabelpenet::labelpenet/NAME.py.'
    require_file(path, f'Config {path} does not exist. {hint}')
    files = config_files(path)
    config = _read(files)
    for key, value in in_order(overrides or {}):
        first, *steps = key.split('.')
        try:
            config[first] = ConfigDict(value=overridden(config.get(first, {} if steps else None), steps, value)).value
        except (TypeError, IndexError) as error:
            raise ValueError(f'The option {key}={value} does not fit the config: {error}') from error
    vars(config)['_options'] = tuple(overrides or {})  # for messages
    content = config.to_dict()
    refuse(config, [*not_dicts(content), *without_dataset(content)])
    for name in [name for name, hook in (config.get('default_hooks') or {}).items() if hook is None and name not in MMENGINE_HOOKS]:
        config.default_hooks.pop(name)  # mmengine removes only its own in this way
    return config


def _read(files: Sequence[Path]) -> Config:
    """The config in the first of these files; raises ValueError if it cannot be read although its bases can."""
    try:
        # mmengine writes the config with every checkpoint; formatting the text with yapf would take seconds each time.
        return PlainConfig(Config.fromfile(str(files[0])).to_dict(), filename=str(files[0]), format_python_code=False)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a file that is run may raise anything
        frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        known = {file.resolve(): file for file in files}
        places = [f'{shown(known[file.resolve()])}:{line}' for file, line in frames if file.resolve() in known]
        if not places:  # the error is not in a single line, but in the combination with the bases
            for base in reversed(files[1:]):
                _read(config_files(base))
        raise ValueError(f'{places[-1] if places else shown(files[0])}: {_reason(error)}') from error


def _reason(error: Exception) -> str:
    """The reason why a config cannot be read, in one line."""
    if isinstance(error, ImportError) and error.__cause__:  # mmengine's own message contains the whole sys.path
        return f'{error.__cause__}. Add the folder of the module to the environment variable PYTHONPATH.'
    if missing := re.match(r'(\S+) not found!', str(error)):
        return f'with read_base(): there is no file {missing[1]}.'
    if foreign := re.match(r'Illegal syntax in config[^!]*! (.+)|(Only `read_base` .+)', str(error)):
        return f'not a config: {foreign[1] or foreign[2]}.'
    if 'read_base' in str(error):  # mmengine would advise rewriting the base
        return 'with read_base() and _base_ cannot be mixed in a config and its bases. Configs of this package use _base_, so use it too.'
    return f'{type(error).__name__}: {(str(error).splitlines() or [""])[0]}'.removesuffix(': ')


def inner_datasets(dataset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The data sets inside the wrappers of a data set's config; the data set itself if it is not wrapped.

    >>> inner_datasets(dict(type='ConcatDataset', datasets=[dict(split='a'), dict(type='RepeatDataset', dataset=dict(split='b'))]))
    [{'split': 'a'}, {'split': 'b'}]
    """
    inner = dataset.get('datasets') or ([dataset['dataset']] if dataset.get('dataset') else [])
    return [each for one in inner for each in inner_datasets(one)] or [dataset]


def config_classes(dataset: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of the classes of a data set's config, in label order; None for an mmdet data set that does not list them.

    >>> config_classes(dict(type='VOCTags', split='train', metainfo=dict(classes=['cat', 'dog'])))
    ('cat', 'dog')
    """
    dataset = inner_datasets(dataset)[0]
    names = (dataset.get('metainfo') or {}).get('classes') or (VOC_CLASSES if 'split' in dataset else None)
    return tuple(names) if isinstance(names, list | tuple) else None


def config_devkit(config: Config, loader: str = 'train') -> Devkit:
    """The images and annotations of a data loader, for tools that measure or show them.

    Args:
        config: with the data loader, whose data set is a ``VOCTags``, and optionally evaluators, which define the classes of masks.
        loader: ``'train'``, ``'label'``, ``'test'`` or ``'corloc'``.

    Raises:
        FileNotFoundError: the data do not exist.
        ValueError: the loader has another kind of data set.
    """
    whole = config[f'{loader}_dataloader'].dataset
    dataset, *others = inner_datasets(whole)
    if others or 'data_root' not in dataset or 'split' not in dataset:
        raise ValueError(f'{loader}_dataloader.dataset is a {whole.get("type")}; boxes and masks can be read only for a single VOCTags.')
    metrics = [stage_metric(config[key]) for key in ('test_evaluator', 'corloc_evaluator') if config.get(key) is not None]
    mask_classes = next((metric['mask_classes'] for metric in metrics if metric.get('mask_classes')), None)
    return open_devkit(dataset.data_root, config_classes(dataset), mask_classes)


def config_split(config: Config, loader: str = 'train') -> str:
    """The image list of a data loader for which :func:`config_devkit` opens the data, also inside a wrapper such as RepeatDataset."""
    return inner_datasets(config[f'{loader}_dataloader'].dataset)[0]['split']


def build_dataset(config: Config, loader: str) -> Dataset:
    """The data set of a data loader: ``'train'``, ``'label'``, ``'test'`` or ``'corloc'``."""
    init_default_scope(config.get('default_scope', 'mmlabelpenet'))
    with named_parts(config):
        return DATASETS.build(copy.deepcopy(config[f'{loader}_dataloader'].dataset))


def build_model(config: Config) -> nn.Module:
    """Build the network of a config, without weights from files."""
    init_default_scope(config.get('default_scope', 'mmlabelpenet'))
    with named_parts(config):
        return MODELS.build(copy.deepcopy(config.model))


def config_hash(config: Config) -> str:
    """SHA-256 of a config's content, hexadecimal.

    >>> config_hash(Config(dict(a=1, b=2))) == config_hash(Config(dict(b=2, a=1)))
    True
    """
    return hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True, default=repr).encode()).hexdigest()


def recipe_hash(config: Config) -> str:
    """SHA-256 of the config without seed, folder, launcher and resume settings; the same for all runs of an experiment.

    >>> first, second = (Config(dict(a=1, work_dir=f'run{seed}', randomness=dict(seed=seed))) for seed in (0, 1))
    >>> recipe_hash(first) == recipe_hash(second) != config_hash(first)
    True
    """
    content = config.to_dict()
    content['randomness'] = {key: value for key, value in (content.get('randomness') or {}).items() if key != 'seed'}
    for key in ('work_dir', 'experiment_name', 'launcher', 'load_from', 'resume', 'data_sources'):
        content.pop(key, None)
    return config_hash(Config(content))


def stage_names(config: Config) -> tuple[str, ...]:
    """Stages of a config's model in order; empty for an mmdet model.

    >>> stage_names(Config(dict(model=dict(stages=dict(classification=dict(), detection=None)))))
    ('classification',)
    """
    return tuple(name for name, stage in ((config.get('model') or {}).get('stages') or {}).items() if stage is not None)


def phase_lengths(config: Config) -> dict[str, int]:
    """Iterations of each phase of a config, in training order; empty if there are no phases.

    >>> phases = dict(recurrent=dict(iters=2), classification=dict(iters=3), detection=None)
    >>> phase_lengths(Config(dict(model=dict(stages=dict(classification=dict())), train_cfg=dict(phases=phases))))
    {'classification': 3, 'recurrent': 2}
    """
    phases = {name: phase['iters'] for name, phase in ((config.get('train_cfg') or {}).get('phases') or {}).items() if phase}
    return {name: phases[name] for name in (*stage_names(config), 'recurrent') if name in phases}


def planned_iterations(config: Config) -> int | None:
    """Total number of iterations of the config, at which its last checkpoint is written; None if the config does not define it."""
    return sum(phase_lengths(config).values()) or (config.get('train_cfg') or {}).get('max_iters')


def last_checkpoint(config: Config) -> Path:
    """The last checkpoint of a complete training of the config.

    Raises:
        ValueError: the config does not define the training length.

    >>> last_checkpoint(Config(dict(work_dir='out', train_cfg=dict(max_epochs=24)))).as_posix()
    'out/epoch_24.pth'
    """
    if (iterations := planned_iterations(config)) is not None:
        return Path(config.work_dir, f'iter_{iterations}.pth')
    if epochs := (config.get('train_cfg') or {}).get('max_epochs'):
        return Path(config.work_dir, f'epoch_{epochs}.pth')
    raise ValueError(f'{config.filename} does not define the training length: train_cfg has no phases, max_iters or max_epochs.')


def default_work_dir(config: Config) -> str:
    """Default work dir of the config: its ``work_dir``, or ``work_dirs/<config name>``.

    >>> default_work_dir(Config(dict(work_dir='out')))
    'out'
    """
    return config.get('work_dir') or f'work_dirs/{Path(config.filename).stem}'
