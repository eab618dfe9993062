"""Label images with a trained network, as a label store for all exporters."""

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
from mmlabelpenet.models.inference.image import check_names
from mmlabelpenet.progress import ProgressBar
from mmlabelpenet.schema import counted, json_hash
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
    """Predict and store labels; an interrupted run can be continued.

    Args:
        inferencer: a trained network.
        images: files by image id.
        out: the store to write.
        tags: labels by image id. In an image with tags, only these classes are labelled, and the best instance of each is always kept.
        stage: stage that predicts; None is the last one.
        min_score: minimum score of a detection.
        batch_size: images per batch.
        earlier: a store of an earlier call. Its labels are reused if settings, weights, config and the image file are unchanged.

    Returns:
        the store, in which the weight of an instance is its score, and the unreadable images, with reasons.
    """
    (stage,), tags = check_names([inferencer.stages[-1] if stage is None else stage], inferencer.stages), dict(tags or {})
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
    """Raise an error if images could not be read.

    Args:
        unreadable: reasons by image id.
        labelled: number of the other images.

    Raises:
        ValueError: there are unreadable images.
    """
    if unreadable:
        first = next(iter(unreadable.values()))
        others = (
            f'{counted(labelled, "other image", "is")} labelled; run the same command again to label the missing ones'
            if labelled
            else 'no images were labelled'
        )
        raise ValueError(f'{counted(len(unreadable), "image")} cannot be read; {others}. The first: {first}')


def chosen(found: Prediction, tags: Sequence[int], min_score: float) -> NDArray[np.int64]:
    """Indices of the detections that become labels.

    Args:
        found: detections by descending score.
        tags: known tags of the image, if any.
        min_score: minimum score; the best detection of each tag is always kept.
    """
    possible, enough = have_area(torch.as_tensor(found.bboxes)).numpy(), found.scores >= min_score
    if not len(tags):
        return np.flatnonzero(possible & enough)
    possible &= np.isin(found.labels, list(tags)) & (found.scores > 0)
    first = np.unique(found.labels[possible], return_index=True)[1]
    return np.union1d(np.flatnonzero(possible)[first], np.flatnonzero(possible & enough))


def store_prediction(writer: PseudoLabelWriter, found: Prediction, indices: NDArray[np.int64]) -> None:
    """Add detections of an image to a store, with their scores as weights.

    Args:
        writer: writer of the store.
        found: detections of the image.
        indices: indices of the stored ones.
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
