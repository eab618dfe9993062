"""Test a checkpoint: boxes and masks of every stage on the test split, CorLoc on the training split, in one table."""

import copy
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmlabelpenet import ops
from mmlabelpenet.apis.augment import augment_test
from mmlabelpenet.apis.built_parts import named_parts
from mmlabelpenet.apis.checkpoint import load_strictly, read_checkpoint
from mmlabelpenet.apis.config import (
    config_classes,
    config_hash,
    planned_iterations,
    recipe_hash,
    stage_names,
)  # fmt: skip
from mmlabelpenet.apis.config_check import check_complete, check_config, check_metrics, check_parts
from mmlabelpenet.apis.evaluators import stage_metric
from mmlabelpenet.apis.inputs import CORLOC_ON, TESTED_ON, check_inputs, check_measured, check_proposals
from mmlabelpenet.apis.published import keep_stages
from mmlabelpenet.apis.receipt import receipt
from mmlabelpenet.apis.train import allow_cpu_ranks
from mmlabelpenet.engine.network import network
from mmlabelpenet.evaluation.metrics import StageMetric
from mmlabelpenet.evaluation.pickled import DumpPredictions
from mmlabelpenet.evaluation.scoring import Settings
from mmlabelpenet.evaluation.table import Table, merge_tables, write_metrics
from mmlabelpenet.files import file_hash, locked_by_first_rank, make_folder, require_place


def choose_stages(stages: str | Sequence[str], available: Sequence[str]) -> list[str]:
    """The stages to test, in their order.

    Raises:
        ValueError: the model does not have a stage.

    >>> choose_stages('all', ['classification', 'detection'])
    ['classification', 'detection']
    """
    names = [stages] if isinstance(stages, str) else list(stages)
    if names == ['all']:
        return list(available)
    if absent := [name for name in names if name not in available]:
        raise ValueError(f'The model of this config has the stages {", ".join(available)}, not {", ".join(absent)}.')
    return [name for name in available if name in names]


def test(
    config: Config,
    checkpoint: str | Path,
    stages: str | Sequence[str] = 'all',
    out: str | Path | None = None,
    corloc: bool = False,
    dump: str | Path | None = None,
    tta: bool = False,
    show: bool = False,
    show_dir: str | None = None,
    wait_time: float = 2,
) -> Table:
    """Evaluate a checkpoint.

    Args:
        config: with ``test_dataloader`` and ``test_evaluator``, which is a ``StageMetric`` or a list with one, and ``work_dir`` for the
            log.
        checkpoint: weights of the config's model.
        stages: ``'all'``, or one or several names.
        out: JSON file for the table, with ``meta``. With a name ending in ``.pkl``, predictions of the last stage are written to it in
            mmdet's format, and the table to the same name with ``.json``.
        corloc: also run the config's ``corloc_dataloader`` and ``corloc_evaluator``, if it has them.
        dump: JSON file for the predictions on the test split, COCO-format results; with several stages, one file each, named by
            :func:`~mmlabelpenet.evaluation.dump.dump_path`.
        tta: use test-time augmentation as defined by the config's ``tta``.
        show: show the detections of the last stage, drawn by mmdet's ``DetVisualizationHook``.
        show_dir: folder for these drawings, absolute or relative to ``<work_dir>/<time>``.
        wait_time: seconds to show each drawing.

    Returns:
        ``{stage: {metric: percent or None, ..., 'per_class': {...}}, 'meta': {...}}``; on ranks other than the first, all values are None.

    Raises:
        FileNotFoundError: no checkpoint, data or proposals.
        ValueError: the model lacks a stage, the checkpoint belongs to another model, the config has misspelt keys or names, the metric has
            other images, or another process writes the same dump.
    """
    start = time.monotonic()
    for place, endings in ((out, ('.json', '.pkl', '.pickle')), (dump, ('.json',))):
        require_place(place, endings)
    make_folder(config.work_dir)
    check_test(config, corloc)
    own = 'stages' in config.model  # otherwise an mmdet model, retrained on pseudo labels
    content = read_checkpoint(checkpoint)
    meta = origin(config, checkpoint, content['meta'])
    config = keep_stages(config, content['meta'].get('stages'))
    chosen = choose_stages(stages, stage_names(config)) if own else list(stage_metric(config.test_evaluator).stages)
    if own:
        check_proposals(config, 'test_dataloader', chosen)
        config.model.test_cfg = dict(config.model.get('test_cfg') or {}, stages=chosen)
    if dump is not None:
        stage_metric(config.test_evaluator).dump = str(dump)
    pickled = Path(out) if out is not None and Path(out).suffix in ('.pkl', '.pickle') else None
    out = pickled.with_suffix('.json') if pickled else out
    shown = copy.deepcopy(config)
    if show or show_dir:
        hook = dict(type='mmdet.DetVisualizationHook', draw=True, show=show, wait_time=wait_time, test_out_dir=show_dir)
        shown.default_hooks = dict(shown.get('default_hooks') or {}, visualization=hook)
        shown.visualizer = shown.get('visualizer') or dict(type='mmdet.DetLocalVisualizer')
    with locked_by_first_rank(dump):
        table, protocol = run_test(shown, content, chosen, tta, pickled)
    views = dict(scales=list(config.tta.scales), flip=config.tta.flip) if tta else None
    meta |= dict(stages=chosen, tta=views, test=protocol, corloc=None)
    if corloc and config.get('corloc_dataloader') is not None:
        second = copy.deepcopy(config)
        second.test_dataloader, second.test_evaluator = config.corloc_dataloader, config.corloc_evaluator
        second.model.test_cfg.with_masks = False  # boxes are enough
        found, meta['corloc'] = run_test(second, content, chosen, tta)
        table = merge_tables(table, found)
    table, meta = add_missing(table), meta | receipt(start)
    if out is not None and int(os.environ.get('RANK', 0)) == 0:
        write_metrics(out, table, meta)
    return {**table, 'meta': meta}


def check_test(config: Config, corloc: bool) -> None:
    """Reject a config that cannot be tested before anything is built; errors as for :func:`test`."""
    check_config(config)
    check_parts(config, ('model', 'test_dataloader', 'test_evaluator'), 'testing')
    check_metrics(config, 'test')
    check_inputs(config, TESTED_ON + (CORLOC_ON if corloc else ()))
    for kind in ('test', 'corloc') if corloc and config.get('corloc_dataloader') is not None else ('test',):
        check_measured(config, kind)
    for part in ('train', 'val'):
        check_complete(config, part)


def origin(config: Config, checkpoint: str | Path, trained: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance of the results: config, checkpoint, and training progress according to ``trained``, the checkpoint's ``meta``."""
    return dict(
        config=config.filename,
        config_sha256=config_hash(config),
        recipe_sha256=recipe_hash(config),
        checkpoint=str(checkpoint),
        checkpoint_sha256=file_hash(checkpoint),
        seed=trained.get('seed', (config.get('randomness') or {}).get('seed')),
        iterations=trained.get('iter'),
        planned_iterations=planned_iterations(config),
        epochs=trained.get('epoch'),
        planned_epochs=(config.get('train_cfg') or {}).get('max_epochs'),
    )


def run_test(
    config: Config, checkpoint: str | Path | Mapping[str, Any], stages: Sequence[str], tta: bool = False, pickled: Path | None = None
) -> tuple[Table, dict[str, Any]]:
    """One pass over ``test_dataloader``.

    Args:
        checkpoint: as for :func:`~mmlabelpenet.apis.checkpoint.load_strictly`.
        pickled: file for predictions in mmdet's format.

    Returns:
        the table, and its provenance: split, protocol, number of images.
    """
    given, config = config, augment_test(config) if tta else copy.deepcopy(config)
    config.load_from, config.resume = None, False
    stage_metric(config.test_evaluator).stages = list(stages)
    allow_cpu_ranks(config)
    with named_parts(given):
        runner = Runner.from_cfg(config)
    ops.log_kernels()
    model = network(runner)
    load_strictly(model.module if tta else model, checkpoint, classes=config_classes(config.test_dataloader.dataset))
    if pickled is not None:
        runner.test_evaluator.metrics.append(DumpPredictions(str(pickled)))
    with named_parts(given):  # loop and data set
        runner.test()
    metric = next(metric for metric in runner.test_evaluator.metrics if isinstance(metric, StageMetric))
    return metric.table, metric.meta


def add_missing(table: Table) -> Table:
    """Add the metrics of all protocols to every row: null means "not measured", and no key is missing.

    >>> add_missing({'detection': {'mIoU': 1.0, 'per_class': {}}})['detection']['CorLoc_50'] is None
    True
    """
    keys = Settings(num_classes=1).keys()
    names = list(dict.fromkeys([*keys, *(key for row in table.values() for key in row if key != 'per_class')]))
    return {stage: {**{key: row.get(key) for key in names}, 'per_class': row.get('per_class', {})} for stage, row in table.items()}
