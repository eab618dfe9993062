"""Labels drawn for inspection."""

import cv2
import numpy as np
import toy
from training import train

PHASES = [('classification', 2), ('detection', 2), ('recurrent', 2)]


def test_every_n_iterations_the_labels_of_each_stage_are_drawn(toy_root, tmp_path):
    train(toy_root, tmp_path, phases=PHASES, hooks=[dict(type='LabelSamplesHook', interval=2, max_images=1)])
    folders = {path.name: sorted(p.name.rsplit('_train', 1)[0] for p in path.iterdir()) for path in (tmp_path / 'label_samples').iterdir()}
    both = [f'backward_{name}' for name in toy.STAGES[:-1]] + [f'forward_{name}' for name in toy.STAGES[1:]]
    assert folders == {'iter_4': ['detection'], 'iter_6': sorted(both)}
    for path in (tmp_path / 'label_samples').rglob('*.jpg'):
        image = cv2.imread(str(path))
        assert image.shape[0] in (96, 120) and np.unique(image.reshape(-1, 3), axis=0).shape[0] > 50


def test_how_many_labels_stages_got_and_how_heavy_is_logged(toy_root, tmp_path):
    runner = train(toy_root, tmp_path, phases=PHASES)
    for name in toy.STAGES[1:]:
        assert runner.message_hub.get_scalar(f'train/forward.{name}.labels_per_image').current() > 0
        assert 0 < runner.message_hub.get_scalar(f'train/forward.{name}.label_weight').current() <= 1
    for name in toy.STAGES[:-1]:  # a stage that has hardly learnt may detect nothing
        keys = (f'train/backward.{name}.{key}' for key in ('labels_per_image', 'label_weight'))
        found, weight = (runner.message_hub.get_scalar(key).current() for key in keys)
        assert weight == (1 if found else 0)
    logged = runner.message_hub.log_scalars
    assert 'train/forward.classification.labels_per_image' not in logged and 'train/detection.labels_per_image' not in logged
