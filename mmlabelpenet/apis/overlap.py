"""Find images shared by training and testing, as the same file or as a copy with any name."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from mmengine.config import Config

from mmlabelpenet.apis.config import inner_datasets
from mmlabelpenet.datasets.image_set import open_images
from mmlabelpenet.files import file_hash
from mmlabelpenet.formats.file_names import below
from mmlabelpenet.formats.image_names import read_image_list, without_suffix
from mmlabelpenet.schema import counted, read_json


class _Image(msgspec.Struct):
    file_name: str


class _Listed(msgspec.Struct):
    images: list[_Image]


def check_overlap(config: Config) -> None:
    """Reject training on images, even only on their tags, that the config tests on (choice T1), unless ``allow_test_overlap`` is set.

    Raises:
        ValueError: the training and test splits share images; the message says how many.
    """
    if config.get('allow_test_overlap', False) or config.get('test_dataloader') is None:
        return
    test = config.test_dataloader.dataset
    loaders = [key for key in ('train_dataloader', 'label_dataloader') if config.get(key) is not None]
    for name, train in [(key, dataset) for key in loaders for dataset in inner_datasets(config[key].dataset)]:
        shared = shared_images(_present(train), _present(test))
        if not shared and 'split' not in train:  # exported images, which may have been converted
            known = {without_suffix(path.name): path for path in _present(test)}
            shared = [(str(path), str(known[stem])) for path in _present(train) if (stem := without_suffix(path.name)) in known]
        if shared:
            raise ValueError(
                f'{counted(len(shared), "image", "is")} in the training split {_list_of(train)!r} ({name}) and in the test split '
                f'{_list_of(test)!r}, '
                f'for example {" = ".join(dict.fromkeys(shared[0]))}. Choose other splits, or set allow_test_overlap=True and do not '
                'report the numbers as test results.'
            )


def image_files(dataset: Mapping[str, Any]) -> list[Path]:
    """Images of a data set config, ours or mmdet's with an image list or a COCO file.

    Raises:
        FileNotFoundError: the list, or an image of our data set, is missing.
        ValueError: the list is damaged.
    """
    root, folders = Path(dataset.get('data_root') or ''), dataset.get('data_prefix') or {}
    if 'split' in dataset:
        devkit = open_images(root, classes=())
        return [devkit.image_path(image_id) for image_id in devkit.image_ids(dataset['split'])]
    path = root / dataset['ann_file']
    if path.suffix == '.json':
        images, where = read_json(path, _Listed, 'a COCO file').images, f'image of {str(path)!r}'
        return [below(root / folders.get('img', ''), image.file_name, where) for image in images]
    return [root / folders.get('sub_data_root', '') / 'JPEGImages' / f'{name}.jpg' for name in read_image_list(path)]


def shared_images(first: Iterable[Path], second: Iterable[Path]) -> list[tuple[str, str]]:
    """Images of one list that are also in the other. For files of the same size, the content is compared.

    Returns:
        Pairs of paths in the first and second list, sorted.

    Raises:
        FileNotFoundError: an image is missing.
    """
    sizes: dict[int, set[Path]] = {}
    for path in set(first):
        sizes.setdefault(path.stat().st_size, set()).add(path)
    shared, digests = [], {}

    def digest(path: Path) -> str:
        if path not in digests:
            digests[path] = file_hash(path)
        return digests[path]

    for path in set(second):
        rivals = sizes.get(path.stat().st_size, set())
        same = path if path in rivals else next((rival for rival in sorted(rivals) if digest(rival) == digest(path)), None)
        if same is not None:
            shared.append((str(same), str(path)))
    return sorted(shared)


def _present(dataset: Mapping[str, Any]) -> list[Path]:
    """Images of a data set; none if its list or any image is missing, which the data set itself reports."""
    try:
        return [path for path in image_files(dataset) if path.is_file()]
    except FileNotFoundError:
        return []


def _list_of(dataset: Mapping[str, Any]) -> str:
    return dataset.get('split') or dataset['ann_file']
