"""Labels of images from a trained network, as a label store that every exporter reads."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from mmlabelpenet.apis.inferencer import LabelPENetInferencer
from mmlabelpenet.apis.results import Prediction
from mmlabelpenet.datasets.label_writer import PseudoLabelWriter
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.files import file_hash
from mmlabelpenet.formats.rle import EncodedMasks, encoded, enlarged_code
from mmlabelpenet.progress import ProgressBar
from mmlabelpenet.schema import json_hash
from mmlabelpenet.structures import have_area


def label_images(
    inferencer: LabelPENetInferencer,
    images: Mapping[str, Path],
    out: Path,
    tags: Mapping[str, Sequence[int]] | None = None,
    stage: str | None = None,
    min_score: float = 0.3,
    batch_size: int = 1,
    earlier: PseudoLabelStore | None = None,
) -> tuple[PseudoLabelStore, dict[str, str]]:
    """Predict and store; an interrupted run continues.

    Args:
        inferencer: a trained network.
        images: files by image id.
        out: the store to write.
        tags: labels by image id. Of an image that has some only these classes are labelled, the best instance of each in any case.
        stage: which predicts; None the last one.
        min_score: detections below are left out.
        batch_size: images per pass.
        earlier: a store of an earlier call. Its labels are taken where it was made in the same way, by the same weights and config, and
            the file has not changed.

    Returns:
        the store, in which an instance's weight is its score, and the images that cannot be read, with the reason.
    """
    stage, tags = stage or inferencer.stages[-1], dict(tags or {})
    header = dict(stage=stage, weights=file_hash(inferencer.checkpoint), min_score=min_score, settings=json_hash(inferencer.settings))
    header['tags'] = {name: list(map(int, labels)) for name, labels in sorted(tags.items())}
    writer = PseudoLabelWriter(out, header, files=images)
    if earlier is not None and earlier.header == writer.header and earlier.classes == tuple(inferencer.classes):
        for image_id, path in images.items():
            if image_id not in writer.done and path.is_file() and earlier.file_hashes.get(image_id) == file_hash(path):
                writer.append(earlier.line(image_id))
    todo = {path: image_id for image_id, path in images.items() if image_id not in writer.done}
    unreadable: dict[str, str] = {}
    with ProgressBar('images', len(images), done=len(images) - len(todo)) as bar:

        def pass_over(path: Path, error: Exception) -> None:
            unreadable[todo[path]] = str(error)
            bar.advance()

        lowest = 0.0 if tags else min_score
        for found in inferencer.stream(list(todo), stage=stage, min_score=lowest, batch_size=batch_size, pass_over=pass_over):
            image_id = todo[found.path]
            kept = chosen(found, tags.get(image_id, ()), min_score if tags else 0.0)
            store_prediction(writer, replace(found, image_id=image_id), kept)
            bar.advance()
    return writer.finish([image_id for image_id in images if image_id not in unreadable], inferencer.classes), unreadable


def stored_prediction(store: PseudoLabelStore, image_id: str, path: Path) -> Prediction:
    """Detections of an image in a store of :func:`label_images`.

    Args:
        store: weights are scores.
        image_id: of the image.
        path: of its file.
    """
    found, size = store.instances(image_id), store.size(image_id)
    return Prediction(
        image_id,
        path,
        size,
        store.header['stage'],
        store.classes,
        np.array([instance['bbox'] for instance in found], np.float32).reshape(-1, 4),
        np.array([instance['weight'] for instance in found], np.float32),
        np.array([instance['bbox_label'] for instance in found], np.int64),
        EncodedMasks([instance['mask'] for instance in found], size),
    )


def refuse_unreadable(unreadable: Mapping[str, str], labelled: int) -> None:
    """Say that images could not be read.

    Args:
        unreadable: reasons by image id.
        labelled: number of the other images.

    Raises:
        ValueError: there are some.
    """
    if unreadable:
        first = next(iter(unreadable.values()))
        others = f'the other {labelled} are labelled, and the same command labels what is missing' if labelled else 'no image is labelled'
        raise ValueError(f'{len(unreadable)} images cannot be read; {others}. The first: {first}')


def chosen(found: Prediction, tags: Sequence[int], min_score: float) -> NDArray[np.int64]:
    """Indices of the detections that become labels.

    Args:
        found: best first.
        tags: labels that the image is known to have; none if nothing is known.
        min_score: a tag's best detection is taken below it too.
    """
    possible, enough = have_area(torch.as_tensor(found.bboxes)).numpy(), found.scores >= min_score
    if not len(tags):
        return np.flatnonzero(possible & enough)
    possible &= np.isin(found.labels, list(tags)) & (found.scores > 0)
    first = np.unique(found.labels[possible], return_index=True)[1]
    return np.union1d(np.flatnonzero(possible)[first], np.flatnonzero(possible & enough))


def store_prediction(writer: PseudoLabelWriter, found: Prediction, indices: NDArray[np.int64]) -> None:
    """Add detections of an image to a store that is being written; their scores become weights.

    Args:
        writer: of the store.
        found: detections of the image.
        indices: those that are stored.
    """
    if found.masks is None:
        codes = [enlarged_code(np.zeros((1, 1), bool), found.size)] * len(found)
    else:
        codes = found.masks.codes if isinstance(found.masks, EncodedMasks) else list(map(encoded, found.masks))
    pseudo = InstanceData(
        bboxes=torch.as_tensor(found.bboxes[indices]),
        labels=torch.as_tensor(found.labels[indices]),
        weights=torch.as_tensor(found.scores[indices]).clamp(1e-6, 1),
        masks=EncodedMasks(codes, found.size)[indices],
    )
    writer.add(found.image_id, found.path.name if found.path else found.image_id, found.size, pseudo, found.path)
