"""Find misspelt keys and unregistered names in a config before anything is built."""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from mmlabelpenet.apis.arguments import ListOf, arguments, fits, plain_arguments
from mmlabelpenet.apis.config import inner_datasets
from mmlabelpenet.apis.config_dicts import Fault, KeyPath, all_files, dicts_within, not_dicts, own_files, refuse
from mmlabelpenet.apis.config_files import names_read, place_of_key, place_of_text
from mmlabelpenet.apis.evaluators import metric_list
from mmlabelpenet.apis.registered import Registered, hint, nearest
from mmlabelpenet.apis.runner_settings import wrong_settings
from mmlabelpenet.mmdet_words import instead
from mmlabelpenet.schema import short

READ = {  # top-level keys besides the arguments of mmengine's runner: those of its launchers and ours
    *('activation_checkpointing', 'efficient_conv_bn_eval', 'sync_bn'),
    *('auto_scale_lr', 'custom_imports', 'default_scope', 'env_cfg', 'experiment_name', 'launcher', 'load_from', 'log_level'),
    *('log_processor', 'model_wrapper_cfg', 'randomness', 'resume', 'runner_type', 'tta_model', 'tta_pipeline', 'visualizer', 'work_dir'),
    *('allow_test_overlap', 'corloc_dataloader', 'corloc_evaluator', 'data_sources', 'label_dataloader', 'tta'),
}
USUAL = {  # shorthand variables that written configs keep although they are no longer used
    *('backend_args', 'classes', 'data_root', 'dataset_type', 'metainfo', 'train_pipeline', 'val_pipeline', 'test_pipeline'),
}
ANYWHERE = {'type', '_scope_', '_delete_'}
READ_BY_BUILDERS = {  # keys that the builder of the parts below this key reads
    'hooks': {'priority'},
    'param_scheduler': {'begin', 'by_epoch', 'convert_to_iter_based', 'end', 'epoch_length', 'last_step', 'verbose'},
    'optim_wrapper': {'constructor', 'paramwise_cfg'},
    'init_cfg': {'bias', 'layer', 'name', 'override'},
    'model_wrapper_cfg': {'device_ids', 'output_device', 'static_graph'},
}
_NAMES = {bool: 'True or False', int: 'a whole number', float: 'a number', str: 'a text', type(None): 'None'}
_FINITE = ('optim_wrapper', 'param_scheduler', 'train_cfg')  # parts without infinite numbers
HOOKS = (  # usual keys of default_hooks
    *('checkpoint', 'collapse', 'health', 'label_samples', 'logger', 'param_scheduler', 'part_times', 'progress', 'reused_labels'),
    *('runtime_info', 'sample_panels', 'sampler_seed', 'timer', 'visualization'),
)
# Not built by a registry only.
LAYERS = ('act_cfg', 'conv_cfg', 'nms', 'norm_cfg', 'on_trace_ready', 'padding_cfg', 'roi_layer', 'upsample_cfg')
PARAMWISE = {  # keys read by mmengine's DefaultOptimWrapperConstructor
    *('bias_decay_mult', 'bias_lr_mult', 'bypass_duplicate', 'custom_keys', 'dcn_offset_lr_mult', 'dwconv_decay_mult', 'flat_decay_mult'),
    'norm_decay_mult',
}
TWO_STAGE = {  # keys of train_cfg and test_cfg read by mmdet's two-stage detectors
    'train_cfg': {'rpn', 'rpn_proposal', 'rcnn'},
    'train_cfg.rpn': {'allowed_border', 'assigner', 'debug', 'pos_weight', 'sampler'},
    'train_cfg.rpn_proposal': {'max_per_img', 'min_bbox_size', 'nms', 'nms_pre'},
    'train_cfg.rcnn': {'assigner', 'debug', 'mask_size', 'mask_thr_binary', 'match_low_quality', 'pos_weight', 'sampler'},
    'test_cfg': {'rpn', 'rcnn'},
    'test_cfg.rpn': {'max_per_img', 'min_bbox_size', 'nms', 'nms_pre'},
    'test_cfg.rcnn': {'mask_thr_binary', 'max_per_img', 'nms', 'score_thr'},
}


def check_config(config: Config) -> None:
    """Reject unknown keys, arguments and values that a registered class does not accept, and unregistered names.

    Nothing is built. For classes that accept any argument, the bases are checked; if these do too, every argument passes.

    Raises:
        ValueError: one line per error, with file and line, path of the key, and the most similar valid name.

    >>> check_config(Config(dict(randomness=dict(seeed=1))))
    Traceback (most recent call last):
    ValueError: randomness.seeed: no code reads this key. Did you mean 'seed'?
    """
    content = config.to_dict()
    find = Registered(content.get('default_scope') or 'mmlabelpenet')
    refuse(config, not_dicts(content, find))
    faults = unread_keys(content, own_files(config)), wrong_parts(content, find, all_files(config)), wrong_values(content, find)
    refuse(config, itertools.chain(*faults, wrong_settings(content, find)))


def check_parts(config: Config, keys: Sequence[str], purpose: str) -> None:
    """Reject a config without the keys that training or testing needs.

    >>> check_parts(Config(dict(model=None)), ['model'], 'testing')
    Traceback (most recent call last):
    ValueError: None is not a config for testing: it has no model.
    """
    if lacking := [key for key in keys if not config.get(key)]:
        raise ValueError(f'{config.filename} is not a config for {purpose}: it has no {", ".join(lacking)}.')


def check_complete(config: Config, part: str) -> None:
    """Reject a config with only some of the keys for training, validation or testing, of which mmengine's runner needs all or none.

    >>> check_complete(Config(dict(train_cfg=dict())), 'train')
    Traceback (most recent call last):
    ValueError: The config has only train_cfg: set all of train_dataloader, optim_wrapper, train_cfg, or none.
    """
    keys = [f'{part}_dataloader', 'optim_wrapper' if part == 'train' else f'{part}_evaluator', f'{part}_cfg']
    if 0 < len(given := [key for key in keys if config.get(key) is not None]) < len(keys):
        enough = '' if part == 'train' else ' (dict() is enough for the last)'
        raise ValueError(f'The config has only {" and ".join(given)}: set all of {", ".join(keys)}{enough}, or none.')


def check_metrics(config: Config, part: str) -> None:
    """Reject an incomplete evaluation config, samplers that never end, and mmdet metrics that need ground truth in samples, which a
    data set with tags does not provide.

    Args:
        config: with or without ``<part>_dataloader`` and ``<part>_evaluator``.
        part: ``'val'`` or ``'test'``.

    Raises:
        ValueError: names the parts, or the metric and its replacement.
    """
    check_complete(config, part)
    sampler = str(((config.get(f'{part}_dataloader') or {}).get('sampler') or {}).get('type')).rpartition('.')[2]
    if sampler in ('InfiniteSampler', 'ResumableSampler'):
        raise ValueError(
            f"{part}_dataloader.sampler: {sampler} never ends. Set {part}_dataloader.sampler=dict(type='DefaultSampler', shuffle=False)."
        )
    if config.get(f'{part}_evaluator') is None or 'split' not in inner_datasets(config[f'{part}_dataloader'].dataset)[0]:
        return
    from mmlabelpenet.evaluation.ground_truth import KINDS, refusal  # imports mmdet's metrics

    for metric in metric_list(config[f'{part}_evaluator']):
        if (kind := str(metric.get('type')).rpartition('.')[2]) in KINDS:
            raise ValueError(f'{part}_evaluator: {refusal(kind)}')


def unread_keys(content: Mapping[str, Any], files: Sequence[Path]) -> Iterator[Fault]:
    """Top-level keys that neither the runner nor a tool reads and that the config files do not use as variables.

    A variable that a base defines for its children passes, and so does any key in a file that uses no variables, such as a written config,
    unless it is similar to a known key.
    """
    from mmengine.runner import Runner

    known = READ | set(arguments(Runner)[0])
    shorthands = names_read(files)
    written_out = len(files) < 2 and shorthands <= {'dict', 'set'}
    for key in content:
        if key in known | shorthands | USUAL:
            continue
        near = nearest(key, known, cutoff=0.8)
        if near or not (written_out or place_of_key(files[1:], key)):
            yield Fault((key,), f'no code reads this key.{instead((key,)) or hint(near or nearest(key, known))}')


def wrong_parts(content: Mapping[str, Any], find: Registered, files: Sequence[Path] = ()) -> Iterator[Fault]:
    """Unregistered types, arguments that a type does not accept, and unknown keys in dicts without a type."""
    for path, node, scope in dicts_within(content):
        kind = node.get('type')
        if set(path) & {'metainfo', 'dist_cfg'} or (path and path[-1] in LAYERS):
            continue
        if isinstance(kind, str) and path[-1:] != ('clip_grad',):
            target = find(kind, scope)
            if target is None:
                yield Fault((*path, 'type'), f'nothing is registered as {kind!r}.{hint(find.nearest(kind))}', text=kind)
                continue
            names, anything = arguments(target)
            allowed = None if anything else {*names, *ANYWHERE, *read_by_builders(path)}
            whose = f'{kind} has no such argument.'
        elif len(path) == 2 and path[0] in ('default_hooks', 'custom_hooks'):
            yield Fault(path, f'a hook needs a type.{hint(nearest(str(path[-1]), HOOKS))}')
            continue
        else:
            allowed, whose = allowed_keys(path, content, find), 'no code reads this key.'
        if allowed is None:
            continue
        for key in (key for key in node if key not in allowed):
            advice = instead((*path, key)) or _left_over(kind, key, node, files) or hint(nearest(key, allowed - ANYWHERE))
            yield Fault((*path, key), f'{whose}{advice}', tuple(node))


def _left_over(kind: Any, key: str, node: Mapping[str, Any], files: Sequence[Path]) -> str:
    """Advice for a key that a base sets on a part whose type is replaced; empty otherwise."""
    given = next((number for number, file in enumerate(files) if place_of_key([file], key, node)), -1)
    named = next((number for number, file in enumerate(files) if isinstance(kind, str) and place_of_text([file], kind)), -1)
    if not isinstance(kind, str) or given <= named:
        return ''
    return ' It comes from a base: set _delete_=True next to type to discard the values of the base.'


def wrong_values(content: Mapping[str, Any], find: Registered) -> Iterator[Fault]:
    """Values of the wrong type for this package's classes, such as text instead of a number or a list, or instead of a bool, which would be
    true; NaN anywhere, and infinite numbers in the optimizer's settings and the schedule.
    """
    for path, node, scope in dicts_within(content):
        kind = node.get('type')
        targets = [find(kind, scope)] if isinstance(kind, str) else built_without_type(path, content)
        typed = {name: kinds for target in targets if target for name, kinds in plain_arguments(target).items()}
        for key, value in node.items():
            if key in typed and not fits(value, typed[key]):
                yield Fault((*path, key), f'expected {" or ".join(map(_name, typed[key]))}, got {short(value)}.', tuple(node))
            elif path[-1:] != ('clip_grad',) and not _is_finite(value, infinite=(path or (key,))[0] not in _FINITE):
                wanted = 'finite numbers' if isinstance(value, list | tuple) else 'a finite number'
                yield Fault((*path, key), f'expected {wanted}, got {short(value)}.', tuple(node))


def _name(kind: type | ListOf) -> str:
    """A type in a message."""
    if not isinstance(kind, ListOf):
        return _NAMES[kind]
    return f'a list of {" or ".join(f"{_NAMES[each][2:]}s" for each in kind.kinds)}' if kind.kinds else 'a list'


def _is_finite(value: Any, infinite: bool) -> bool:
    """Whether a value, or each in a list, is not NaN and, unless ``infinite`` numbers are allowed, finite."""
    if isinstance(value, list | tuple):
        return all(_is_finite(item, infinite) for item in value)
    return not isinstance(value, float) or math.isfinite(value) or (infinite and not math.isnan(value))


def allowed_keys(path: KeyPath, content: Mapping[str, Any], find: Registered) -> set[str] | None:
    """Known keys of a dict without a type; None if they are not known."""
    dotted = '.'.join(map(str, path))
    if dotted in ('randomness', 'env_cfg', 'env_cfg.mp_cfg', 'auto_scale_lr'):
        return {
            'randomness': {'seed', 'diff_rank_seed', 'deterministic'},
            'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
            'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
            'auto_scale_lr': {'enable', 'base_batch_size'},
        }[dotted]
    if dotted == 'optim_wrapper.clip_grad':
        by_value = content['optim_wrapper']['clip_grad'].get('type') == 'value'
        return {'type', *arguments(clip_grad_value_ if by_value else clip_grad_norm_)[0]} - {'parameters'}
    if path[:2] == ('optim_wrapper', 'paramwise_cfg') and not content['optim_wrapper'].get('constructor'):
        if len(path) != 4:
            return PARAMWISE if len(path) == 2 else None
        kind = (content['optim_wrapper'].get('optimizer') or {}).get('type')  # also reads its own arguments, for the matching parameters
        optimizer = find(kind) if isinstance(kind, str) else None
        names, anything = arguments(optimizer) if optimizer else ((), True)
        return None if anything else {'lr_mult', 'decay_mult', *names} - {'params'}
    if len(path) == 1 and dotted.endswith('_dataloader'):
        from torch.utils.data import DataLoader

        return {*arguments(DataLoader)[0], 'num_batch_per_epoch'}
    if dotted == 'tta':
        return {'model', 'scales', 'flip'}
    if targets := built_without_type(path, content):
        presets = {'preset'} if path[-1] == 'crf' else set()
        return {*presets, *(name for target in targets for name in arguments(target)[0])} - {'all_stages', 'name'}
    return _allowed_of_model(dotted) if (content.get('model') or {}).get('type') == 'LabelPENet' else None


def _allowed_of_model(dotted: str) -> set[str] | None:
    """Like :func:`allowed_keys`, for the dicts without a type in a ``LabelPENet``."""
    if re.fullmatch(r'model\.stages\.\w+', dotted):
        return {'detector', 'labels', 'learns_from'}
    stage = re.fullmatch(r'model\.stages\.\w+\.detector\.((?:train|test)_cfg(?:\.\w+)?)', dotted)
    return TWO_STAGE.get(stage[1]) if stage else None


def built_without_type(path: KeyPath, content: Mapping[str, Any]) -> list[Callable]:
    """The class or function of this package that receives a dict without a type as arguments."""
    from mmlabelpenet.calibration.crf import DenseCRF
    from mmlabelpenet.engine.phases import Phase
    from mmlabelpenet.models.feature_cache import FeatureCache
    from mmlabelpenet.models.inference.image import Inference
    from mmlabelpenet.models.inference.masks import MaskRefinement

    if path and path[-1] == 'crf':
        return [DenseCRF]
    if path[:2] == ('train_cfg', 'phases') and len(path) == 3:
        return [Phase]
    own = {('model', 'test_cfg'): [Inference, MaskRefinement], ('model', 'feature_cache'): [FeatureCache]}
    return own.get(path, []) if (content.get('model') or {}).get('type') == 'LabelPENet' else []


def read_by_builders(path: KeyPath) -> set[str]:
    """Keys of a part that are read before its class receives the others."""
    return {key for name, keys in READ_BY_BUILDERS.items() for key in keys if any(str(step).endswith(name) for step in path[-2:])}
