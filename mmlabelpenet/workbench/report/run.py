"""The content of a work dir, for reports."""

from functools import cached_property
from pathlib import Path

import msgspec
from mmengine.config import Config

from mmlabelpenet.apis.checkpoint import load_strictly
from mmlabelpenet.apis.config import build_model, config_classes, config_devkit, load_config, stage_names
from mmlabelpenet.apis.inferencer import find_run
from mmlabelpenet.apis.run_note import run_files
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.devkit import Devkit
from mmlabelpenet.evaluation.table import read_metrics
from mmlabelpenet.files import given_path
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.progress import track
from mmlabelpenet.schema import read_json
from mmlabelpenet.workbench.report.comparison import Comparison, compare

MOST = 2000  # training images that are compared with their annotations


class Step(msgspec.Struct):
    """A step of a quickstart."""

    command: str | None = None
    seconds: float | None = None


class Run:
    """A finished training.

    Attributes:
        table: results by stage; empty if the run was not tested.
        meta: provenance of the results.
        steps: of ``quickstart.json``, by name.
        stores: label stores by the stage that wrote them, in the order of the cascade.

    Raises:
        FileNotFoundError: no training or no checkpoint in it.
        ValueError: ``metrics.json`` or ``quickstart.json`` has another format.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.folder = given_path(work_dir)
        self.config, self.checkpoint = find_run(self.folder)
        self.config_text = Path(self.config.filename).read_text(encoding='utf-8')
        metrics, steps = self.folder / 'metrics.json', self.folder / 'quickstart.json'
        self.table, self.meta = read_metrics(metrics) if metrics.exists() else ({}, {})
        self.steps = read_json(steps, dict[str, Step], 'a list of steps', 'Remove it.') if steps.exists() else {}
        self._devkits: dict[str, Devkit] = {}
        folder = self.folder / 'pseudo_labels'
        paths = find_stores(folder) if any(folder.glob('*.json')) else {}
        self.stores = {stage: PseudoLabelStore.load(path) for stage, path in paths.items()}

    def model(self) -> LabelPENet:
        """The trained network on the CPU, in evaluation mode."""
        model = build_model(self.config)
        load_strictly(model, self.checkpoint)
        return model.eval()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in label order."""
        return config_classes(self.config.train_dataloader.dataset) or VOC_CLASSES

    def devkit(self, loader: str = 'train') -> Devkit:
        """The data set of a loader; annotations are optional."""
        if loader not in self._devkits:  # COCO's caches annotations
            self._devkits[loader] = config_devkit(self.config, loader)
        return self._devkits[loader]

    @cached_property
    def comparisons(self) -> dict[str, tuple[list[dict], Comparison]]:
        """Instances of the last store compared with the annotations, for at most 2,000 training images that have any."""
        if not self.stores:
            return {}
        store, devkit = list(self.stores.values())[-1], self.devkit()
        names = [name for name in store.image_ids if devkit.is_annotated(name)][:MOST]
        return {name: (store.instances(name), compare(store.instances(name), devkit, name)) for name in track(names, 'labels')}

    @property
    def annotated(self) -> bool:
        """Whether every image of the stores has annotations, which are used only for evaluation."""
        devkit = self.devkit()
        return bool(self.stores) and all(devkit.is_annotated(name) for store in self.stores.values() for name in store.image_ids)


def last_config(folder: str | Path) -> Config | None:
    """The config of the last training in a work dir; None if there is none."""
    configs = run_files(folder)
    return load_config(configs[-1]) if configs else None


def find_stores(place: str | Path) -> dict[str, Path]:
    """Label stores by the stage that wrote them.

    Args:
        place: a store, or a folder of them. In a work dir, its config determines which and in which order; elsewhere, all stores in the
            order of writing.

    Raises:
        FileNotFoundError: there is none.
    """
    place = given_path(place)
    config = last_config(place.resolve().parent) if place.is_dir() else None
    if not place.is_dir():
        files = [place]
    elif config is not None:
        files = [place / f'{stage}.json' for stage in stage_names(config)]
    else:
        files = sorted(filter(_is_store, place.glob('*.json')), key=lambda path: path.stat().st_mtime)
    found = {path.stem: path for path in files if path.is_file()}
    if not found:
        raise FileNotFoundError(f'{str(place)!r} is neither a label store nor a folder of them.')
    return found


def _is_store(path: Path) -> bool:
    try:
        return PseudoLabelStore.load(path) is not None
    except ValueError:
        return False
