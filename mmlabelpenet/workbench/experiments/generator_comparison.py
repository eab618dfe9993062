"""Compare label generators without training: the generator of each config labels the training list from the same trained stage."""

import copy
import time
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mmlabelpenet.apis.config import build_dataset, config_devkit, config_split, recipe_hash, stage_names
from mmlabelpenet.apis.receipt import receipt
from mmlabelpenet.engine.label_pass import LabelPass
from mmlabelpenet.files import locked
from mmlabelpenet.workbench.experiments.ablation import distinct_configs
from mmlabelpenet.workbench.experiments.collect import Result
from mmlabelpenet.workbench.experiments.leading_stages import load_leading_stages
from mmlabelpenet.workbench.experiments.store_quality import store_quality
from mmlabelpenet.workbench.report.training_images import evenly_spread

METRICS = ('precision_50', 'box_iou', 'mask_iou')


def measure_labels(config: Config, checkpoint: str | Path, stage: str, folder: str | Path, max_images: int | None = None) -> Result:
    """Label the training list with one stage of a checkpoint and compare the labels with the annotations.

    Args:
        config: its generator is used; with ``label_dataloader``, and evaluators that define the classes of masks.
        checkpoint: weights of a network with the same structure, whatever its own generators.
        folder: folder of the store; a store already written by these weights and this generator is read.
        max_images: maximum number of images, evenly spread over the list; None for all.

    Returns:
        a result with one row, see :func:`~mmlabelpenet.workbench.experiments.store_quality.store_quality`.

    Raises:
        FileNotFoundError: no such checkpoint, data or proposals.
        ValueError: the checkpoint belongs to another model, or the stage does not exist or is the last one.
    """
    start = time.monotonic()
    net, about = load_leading_stages(config, checkpoint, stage)
    if net.stages[stage].labels is None:
        told = ', '.join(name for name in stage_names(config) if config.model.stages[name].get('labels'))
        raise ValueError(f'The stage {stage} has no label generator; compare one of {told}.')
    loader = copy.deepcopy(config.label_dataloader)
    dataset = build_dataset(config, 'label')
    loader.dataset.indices = evenly_spread(len(dataset), max_images)
    store = LabelPass(loader, folder, config.model).run(Runner, stage, net)
    devkit = config_devkit(config, 'label')
    row, counts = store_quality(store, devkit)
    measured_on = dict(protocol='pseudo labels', data=devkit.data_root.name, split=config_split(config, 'label'), images=counts['images'])
    made_by = dict(config=config.filename, recipe_sha256=recipe_hash(config), seed=about.get('seed'), checkpoint=str(checkpoint))
    return Result(Path(checkpoint), {stage: row}, {**measured_on, **made_by, **receipt(start)})


def compare_generators(
    configs: Sequence[Config], checkpoints: Sequence[str | Path], stage: str, out: str | Path, max_images: int | None = None
) -> dict[str, list[Result]]:
    """Results of every config with every checkpoint, by the config's name; arguments as for :func:`measure_labels`.

    Args:
        configs: the base first.
        checkpoints: checkpoints of the base, one per seed.
        out: folder of all stores, ``<out>/<config name>/<index of the checkpoint>/<stage>.json``.

    Raises:
        ValueError: as for :func:`measure_labels`; also if two configs have the same name, or another process is writing there.
    """
    results: dict[str, list[Result]] = {}
    distinct_configs(config.filename for config in configs)
    with locked(out):
        for config in configs:
            name = Path(config.filename).stem
            results[name] = [
                measure_labels(config, path, stage, Path(out) / name / str(number), max_images) for number, path in enumerate(checkpoints)
            ]
    return results
