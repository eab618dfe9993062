import numpy as np
import pytest

from mmlabelpenet.workbench.quickstart.scenes import RENDERED_CLASSES, RenderSettings, class_parts, part_outline, render_scene

SMALL = {'height': 120, 'width': 160, 'min_size': 25, 'max_size': 85}
EASY = RenderSettings(occluder_prob=0, light=0, noise=0, texture=0, num_polygons=0, num_fragments=0, max_objects=1, **SMALL)


def scenes(count, settings=None):
    return [render_scene(np.random.default_rng([3, k]), settings or RenderSettings()) for k in range(count)]


def test_every_part_stands_in_several_classes_and_only_the_whole_in_one():
    wholes = [class_parts(label) for label in range(len(RENDERED_CLASSES))]
    assert len(set(wholes)) == len(RENDERED_CLASSES) == 4
    for part in {part for whole in wholes for part in whole}:
        assert sum(part in whole for whole in wholes) >= 2, part


def test_the_same_generator_draws_the_same_scene():
    first, second = (render_scene(np.random.default_rng(5), RenderSettings()) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.instances, second.instances)


def test_other_seeds_draw_other_scenes():
    first, second = scenes(2)
    assert not np.array_equal(first.image, second.image)


def test_a_scene_keeps_what_its_settings_promise():
    settings = RenderSettings()
    for scene in scenes(12):
        assert scene.image.shape == (240, 320, 3) and scene.image.dtype == np.uint8
        assert 1 <= len(scene.labels) <= settings.max_objects
        assert scene.labels.max() < len(RENDERED_CLASSES)
        assert np.unique(scene.instances).tolist()[-1] == len(scene.labels)
        assert (scene.visible >= settings.min_visible).all() and (scene.visible <= 1).all()


def test_figures_overlap_and_differ_in_size():
    found = scenes(40, RenderSettings(**SMALL))
    assert min(scene.visible.min() for scene in found) < 0.9
    heights = []
    for scene in found:
        for k in range(len(scene.labels)):
            ys, xs = np.nonzero(scene.instances == k + 1)
            heights.append(max(np.ptp(ys), np.ptp(xs)) + 1)
    assert min(heights) < 38 and max(heights) > 70


def test_a_figure_in_the_open_is_wholly_visible_and_stands_out_from_its_mask():
    for scene in scenes(10, EASY):
        assert scene.visible.tolist() == [1.0]
        background = scene.image[scene.instances == 0]
        values, counts = np.unique(background, axis=0, return_counts=True)
        assert counts.max() > 0.95 * len(background)  # a plain background but for the blended rim
        plain = values[counts.argmax()].astype(int)
        figure = scene.image[scene.instances == 1].astype(int)
        assert (np.abs(figure - plain).max(1) > 3).mean() > 0.95


def test_colours_do_not_tell_the_class():
    """The mean colour of a figure, averaged over many, is the same for all classes."""
    means = {label: [] for label in range(4)}
    for scene in scenes(120, EASY):
        means[int(scene.labels[0])].append(scene.image[scene.instances == 1].mean(0))
    averages = np.array([np.mean(values, 0) for values in means.values()])
    assert np.ptp(averages, axis=0).max() < 45  # single figures differ by up to 180


@pytest.mark.parametrize(
    'change', [{'max_size': 300}, {'min_size': 0}, {'min_size': 180}, {'num_train': 0}, {'min_visible': 1.0}, {'noise': -1}]
)
def test_settings_that_cannot_be_drawn_are_refused(change):
    with pytest.raises(ValueError, match='|'.join(change)):
        RenderSettings(**change)


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="'wheel'"):
        part_outline('wheel')
