"""What a work dir holds, for reports."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.registry import init_default_scope

from mmlabelpenet.apis.checkpoint import load_strictly
from mmlabelpenet.apis.inferencer import find_run
from mmlabelpenet.datasets.coco import open_devkit
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.voc import VOC_CLASSES, VOCDevkit
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.registry import MODELS
from mmlabelpenet.structures import STAGES
from mmlabelpenet.workbench.report.comparison import Comparison, compare, is_annotated

MOST = 2000  # training images that are compared with their annotations


class Run:
    """A finished training.

    Args:
        work_dir: of ``tools/train.py``.

    Raises:
        FileNotFoundError: no training or no checkpoint in it.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.folder = Path(work_dir)
        self.config, self.checkpoint = find_run(self.folder)
        self.config_text = Path(self.config.filename).read_text()
        self.metrics = self._json('metrics.json')
        self.steps = self._json('quickstart.json')
        paths = [self.folder / 'pseudo_labels' / f'{name}.json' for name in STAGES]
        self.stores = {path.stem: PseudoLabelStore.load(path) for path in paths if path.exists()}

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else {}

    def model(self) -> LabelPENet:
        """The trained network on the CPU, in evaluation mode."""
        init_default_scope(self.config.get('default_scope', 'mmlabelpenet'))
        model = MODELS.build(self.config.model)
        load_strictly(model, self.checkpoint)
        return model.eval()

    @property
    def seed(self) -> Any:
        """Of training."""
        return self.config.get('randomness', {}).get('seed')

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in label order."""
        return tuple(self.config.train_dataloader.dataset.get('metainfo', {}).get('classes', VOC_CLASSES))

    def devkit(self, loader: str = 'train') -> VOCDevkit:
        """The data of a loader; annotations may be there or not."""
        evaluator = self.config.get('test_evaluator') or {}
        return open_devkit(self.config[f'{loader}_dataloader'].dataset.data_root, self.classes, evaluator.get('mask_classes'))

    @cached_property
    def comparisons(self) -> dict[str, tuple[list[dict], Comparison]]:
        """Instances of the last store beside the annotations, for training images that have any (2,000 at most)."""
        if not self.stores:
            return {}
        store, devkit = list(self.stores.values())[-1], self.devkit()
        names = [image['img_id'] for image in store.content['images'] if is_annotated(devkit, image['img_id'])][:MOST]
        return {name: (store.instances(name), compare(store.instances(name), devkit, name)) for name in names}

    @property
    def annotated(self) -> bool:
        """Whether every image of the stores has annotations, which serve to measure only."""
        devkit = self.devkit()
        return bool(self.stores) and all(
            is_annotated(devkit, image['img_id']) for store in self.stores.values() for image in store.content['images']
        )
