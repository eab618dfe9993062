"""Labels of pictures from a trained network, as a pseudo-label store that every exporter reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mmlabelpenet.apis.inferencer import LabelPENetInferencer
from mmlabelpenet.apis.results import Prediction
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore, PseudoLabelWriter
from mmlabelpenet.files import file_hash
from mmlabelpenet.progress import ProgressBar
from mmlabelpenet.structures import have_area, pseudo_instances


def label_pictures(
    inferencer: LabelPENetInferencer,
    pictures: Sequence[Path],
    out: Path,
    tags: Mapping[str, Sequence[int]] | None = None,
    stage: str | None = None,
    min_score: float = 0.3,
    batch_size: int = 1,
) -> PseudoLabelStore:
    """Predict and store; an interrupted run goes on where it stopped.

    Args:
        inferencer: a trained network.
        pictures: files of different names.
        out: the store to write.
        tags: labels by image id. Of a picture that has some only these classes are labelled, the best instance of each in any case.
        stage: which predicts; None the last one.
        min_score: detections below are left out.
        batch_size: pictures per pass.

    Returns:
        the store; an instance's weight is its score.
    """
    stage, tags = stage or inferencer.stages[-1], dict(tags or {})
    header = dict(stage=stage, weights=file_hash(inferencer.checkpoint), min_score=min_score)
    header['tags'] = {name: list(map(int, labels)) for name, labels in sorted(tags.items())}
    writer = PseudoLabelWriter(out, header)
    names = [path.stem for path in pictures]
    todo = [path for path in pictures if path.stem not in writer.done]
    lowest = 0.0 if tags else min_score
    with ProgressBar('images', len(pictures), done=len(pictures) - len(todo)) as bar:
        predictions = inferencer.stream(todo, stage=stage, min_score=lowest, batch_size=batch_size)
        for path, found in zip(todo, predictions, strict=False):
            store_prediction(writer, found, chosen(found, tags.get(found.image_id, ()), min_score), path.name)
            bar.advance()
    return writer.finish(names, inferencer.classes)


def chosen(found: Prediction, tags: Sequence[int], min_score: float) -> NDArray[np.int64]:
    """Indices of the detections that become labels.

    Args:
        found: best first.
        tags: labels that the picture is known to have; none if nothing is known.
        min_score: a tag's best detection is taken below it too.
    """
    possible, enough = have_area(torch.as_tensor(found.bboxes)).numpy(), found.scores >= min_score
    if not len(tags):
        return np.flatnonzero(possible & enough)
    possible &= np.isin(found.labels, list(tags)) & (found.scores > 0)
    first = np.unique(found.labels[possible], return_index=True)[1]
    return np.union1d(np.flatnonzero(possible)[first], np.flatnonzero(possible & enough))


def store_prediction(writer: PseudoLabelWriter, found: Prediction, indices: NDArray[np.int64], name: str) -> None:
    """Add detections of an image to a store that is being written; their scores become weights.

    Args:
        writer: of the store.
        found: detections of the image.
        indices: those that are stored.
        name: path of the image below its folder.
    """
    masks = np.zeros((len(found), *found.size), bool) if found.masks is None else found.masks
    pseudo = pseudo_instances(
        torch.as_tensor(found.bboxes[indices]),
        torch.as_tensor(found.labels[indices]),
        masks[indices],
        torch.as_tensor(found.scores[indices]).clamp(1e-6, 1),
    )
    writer.add(found.image_id, name, found.size, pseudo)
