import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image

from mmlabelpenet.apis import checkpoint
from mmlabelpenet.apis.image_inputs import checked_array, expand, input_names, names_below, usable_device
from mmlabelpenet.apis.inferencer import LabelPENetInferencer
from mmlabelpenet.apis.published import publish
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.models.inference.masks import MaskRefinement
from mmlabelpenet.ops.selective_search import SelectiveSearchSettings
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.schema import json_hash

CAT = Path(__file__).resolve().parents[2] / 'demo/cat.jpg'


@pytest.fixture(scope='module')
def trained(toy_root, tmp_path_factory):
    """Config and checkpoint of a toy network with random weights."""
    init_default_scope('mmlabelpenet')
    folder = tmp_path_factory.mktemp('trained')
    config = toy.run_config(toy_root, folder, [('classification', 1)])
    dataset = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, dataset=dataset)
    config.dump(folder / 'toy.py')
    model = toy.build(toy.model_config(), seed=2)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / 'iter_1.pth')
    return folder, config, model.eval()


@pytest.fixture(scope='module')
def inferencer(trained):
    return LabelPENetInferencer(trained[0] / 'toy.py', trained[0] / 'iter_1.pth', device='cpu')


@pytest.fixture(scope='module')
def images(toy_root):
    return sorted((toy_root / 'JPEGImages').glob('test_*'))


def test_the_checkpoint_is_read_once(trained, monkeypatch):
    read, paths = checkpoint.read_tensors, []
    monkeypatch.setattr(checkpoint, 'read_tensors', lambda path: paths.append(path) or read(path))
    LabelPENetInferencer(trained[0] / 'toy.py', trained[0] / 'iter_1.pth', device='cpu')
    assert paths == [trained[0] / 'iter_1.pth']


def test_what_predictions_depend_on_changes_with_model_pipeline_and_search(trained, tmp_path):
    """Labels of an earlier call are taken where none of it has changed."""
    changes = [{}, {'model.test_cfg.crf': None}, {'test_dataloader.dataset.pipeline.2.transforms.0.scale': (160, 120)}]
    searches = [{}, dict(search_side=400), dict(search=SelectiveSearchSettings(min_size=30))]
    found = []
    for changed, search in [*((change, {}) for change in (*changes, {})), *(({}, each) for each in searches[1:])]:
        config = trained[1].copy()
        config.merge_from_dict(changed)
        config.dump(tmp_path / 'toy.py')
        found.append(json_hash(LabelPENetInferencer(tmp_path / 'toy.py', trained[0] / 'iter_1.pth', device='cpu', **search).settings))
    assert found[0] == found[3] and len(set(found)) == 5


@pytest.mark.parametrize('stage', toy.STAGES[1:])
def test_predictions_are_those_of_testing(inferencer, trained, images, stage):
    dataset = DATASETS.build(trained[1].test_dataloader.dataset)
    expected = trained[2].test_step(pseudo_collate([dataset[0]]) | dict(stages=[stage]))[0].pred_instances
    (found,) = inferencer(images[0], stage=stage, min_score=0)
    assert len(found) == len(expected) > 0
    assert np.allclose(found.bboxes, expected.bboxes.numpy(), atol=1e-4)
    assert np.allclose(found.scores, expected.scores.numpy(), atol=1e-6)
    assert np.array_equal(found.labels, expected.labels.numpy())
    assert np.array_equal(found.masks, expected.masks)


def test_detections_that_are_not_returned_change_nothing_and_cost_no_mask(inferencer, images, monkeypatch):
    counts, refine = [], MaskRefinement.__call__
    monkeypatch.setattr(
        MaskRefinement, '__call__', lambda self, image, found, *rest: counts.append(len(found)) or refine(self, image, found, *rest)
    )
    (every,) = inferencer(images[0], min_score=0)
    for limit in (dict(min_score=float(every.scores[3])), dict(min_score=0, max_instances=2)):
        (some,) = inferencer(images[0], **limit)
        assert 0 < len(some) < len(every) and counts[-1] == len(some)
        for field in ('bboxes', 'scores', 'labels', 'masks'):
            np.testing.assert_array_equal(getattr(some, field), getattr(every, field)[: len(some)])


def test_the_classification_stage_gets_proposals_made_on_the_spot(inferencer, images):
    (found,) = inferencer(images[0], stage='classification', min_score=0)
    assert 0 < len(found) <= 5
    assert found.masks.shape == (len(found), toy.HEIGHT, toy.WIDTH)


@pytest.mark.parametrize('name', ['file', 'text', 'array', 'folder', 'pattern', 'list'])
def test_every_kind_of_input_gives_the_same(inferencer, images, toy_root, name):
    given = dict(
        file=images[0],
        text=str(images[0]),
        array=read_rgb(images[0]),
        folder=toy_root / 'JPEGImages',
        pattern=str(toy_root / 'JPEGImages/test_*.jpg'),
        list=[images[0], read_rgb(images[1])],
    )[name]
    found = inferencer(given, min_score=0, with_masks=False)
    assert len(found) == dict(folder=8, pattern=2, list=2).get(name, 1)
    first = found[0]
    assert first.image_id == ('array_0' if name == 'array' else images[0].stem)
    assert np.array_equal(first.bboxes, inferencer(images[0], min_score=0, with_masks=False)[0].bboxes)


def test_images_of_one_name_in_two_folders_are_told_apart(inferencer, images, tmp_path):
    for folder, image in zip(('day', 'night'), images, strict=True):
        (tmp_path / folder).mkdir()
        shutil.copy(image, tmp_path / folder / 'a.jpg')
    shutil.copy(images[0], tmp_path / 'night/b.jpg')
    found = inferencer([tmp_path, read_rgb(images[0])], stage='detection', with_masks=False)
    assert [each.image_id for each in found] == ['day/a', 'night/a', 'night/b', 'array_3']


def test_a_batch_of_equal_sizes_gives_what_single_images_give(inferencer, images):
    together = inferencer(images, min_score=0, batch_size=2)
    for found, image in zip(together, images, strict=True):
        (alone,) = inferencer(image, min_score=0)
        assert np.allclose(found.bboxes, alone.bboxes, atol=1e-3)
        assert found.image_id == alone.image_id


def test_a_stream_reads_no_more_than_a_batch_ahead(inferencer, images, monkeypatch):
    read = []
    monkeypatch.setattr('mmlabelpenet.apis.inferencer.read_rgb', lambda path: (read.append(path), read_rgb(path))[1])
    next(inferencer.stream(images * 3, with_masks=False, batch_size=2))
    assert len(read) == 2


def test_scores_and_numbers_limit_what_is_returned(inferencer, images):
    (everything,) = inferencer(images[0], min_score=0)
    limit = float(np.median(everything.scores))
    (some,) = inferencer(images[0], min_score=limit)
    assert 0 < len(some) < len(everything)
    assert some.scores.min() >= limit
    assert len(inferencer(images[0], min_score=0, max_instances=2)[0]) == 2


def test_boxes_and_masks_lie_in_the_frame_of_any_image(inferencer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 256, (150, 333, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'turned.jpg', exif=exif)
    Image.fromarray(noise).convert('CMYK').save(tmp_path / 'cmyk.jpg')
    Image.fromarray(noise[..., 0]).save(tmp_path / 'grey.png')
    for name, size in (('turned.jpg', (333, 150)), ('cmyk.jpg', (150, 333)), ('grey.png', (150, 333))):
        (found,) = inferencer(tmp_path / name, min_score=0)
        assert found.size == size and found.masks.shape[1:] == size
        assert (found.bboxes[:, 2:] <= np.array(size[::-1]) + 1e-3).all() and found.bboxes.min() >= 0
        assert found.draw().shape == (*size, 3)


def test_a_huge_image_keeps_its_frame_and_few_masks(inferencer):
    image = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    (found,) = inferencer(image, min_score=0, max_instances=1)
    assert found.masks.shape == (1, 1500, 2000)


def test_a_tiny_image_is_one_clear_error(inferencer, tmp_path):
    Image.new('RGB', (1, 1)).save(tmp_path / 'dot.png')
    with pytest.raises(ValueError, match='1 x 1 pixels'):
        inferencer(tmp_path / 'dot.png')


def test_a_work_dir_is_enough(trained, images, tmp_path):
    folder = tmp_path / '20260101_000000/vis_data'
    folder.mkdir(parents=True)
    (folder / 'config.py').write_bytes((trained[0] / 'toy.py').read_bytes())
    with pytest.raises(FileNotFoundError, match='no finished training'):
        LabelPENetInferencer(tmp_path)
    (tmp_path / 'iter_1.pth').write_bytes((trained[0] / 'iter_1.pth').read_bytes())
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_1.pth')
    assert len(LabelPENetInferencer(tmp_path, device='cpu')(images, with_masks=False)) == 2


@pytest.mark.parametrize(
    ('given', 'error', 'message'),
    [
        ('no/such/thing.jpg', FileNotFoundError, 'neither a file nor a folder'),
        ('https://example.org/a.jpg', ValueError, 'Download it first'),
        (np.zeros((4, 4, 4), np.uint8), ValueError, 'RGB array'),
        (np.zeros((4, 4, 3)), ValueError, 'float64'),
    ],
)
def test_what_is_no_image_is_an_error(inferencer, given, error, message):
    with pytest.raises(error, match=message):
        inferencer(given)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(stage='third'), 'Unknown stage third'),
        (dict(stage=0), 'Unknown stage 0: the model has classification'),
        (dict(stage=['detection', 'third']), r"Unknown stage \['detection', 'third'\]"),
        (dict(batch_size=0), 'batch_size must be a whole number of at least 1, got 0'),
        (dict(batch_size='2'), "batch_size must be a whole number of at least 1, got '2'"),
        (dict(batch_size=2.5), 'batch_size must be a whole number of at least 1, got 2.5'),
        (dict(max_instances=-1), 'max_instances must be a whole number of at least 0, got -1'),
        (dict(max_instances=None), 'max_instances must be a whole number of at least 0, got None'),
        (dict(min_score=float('nan')), r'in \[0, 1\], got min_score=nan'),
        (dict(min_score='0.5'), r"in \[0, 1\], got min_score='0.5'"),
        (dict(min_score=None), r'in \[0, 1\], got min_score=None'),
    ],
)
def test_wrong_options_are_an_error(inferencer, images, options, message):
    with pytest.raises(ValueError, match=message):
        inferencer(images, **options)


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(search_side=-1), ValueError, 'search_side must be a whole number of at least 0, got -1'),
        (dict(search='fast'), TypeError, r"SelectiveSearchSettings\(mode='fast'\), got 'fast'"),
        (dict(device=''), ValueError, "Device '' cannot be used here"),
        (dict(device=3.5), ValueError, "Device '3.5' cannot be used here"),
        (dict(config_or_dir=''), ValueError, 'got an empty text'),
        (dict(config_or_dir='a', checkpoint=''), ValueError, 'got an empty text'),
    ],
)
def test_wrong_settings_of_an_inferencer_are_one_line(trained, options, error, message):
    paths = dict(config_or_dir=trained[0] / 'toy.py', checkpoint=trained[0] / 'iter_1.pth')
    with pytest.raises(error, match=message) as raised:
        LabelPENetInferencer(**paths | options)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('given', ['', ' ', [''], ['a.jpg', '']])
def test_an_empty_text_is_not_the_working_directory(given, tmp_path, monkeypatch):
    Image.new('RGB', (20, 30)).save(tmp_path / 'a.jpg')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='^Expected the path of a file or folder, got an empty text'):
        expand(given)
    assert expand('.') == [Path('a.jpg')]


@pytest.mark.parametrize(
    'given', [None, 7, b'a.jpg', torch.zeros(20, 30, 3), [torch.zeros(20, 30, 3)], dict(a='a.jpg'), io.BytesIO(b'a'), [None]]
)
def test_another_type_is_one_line_that_names_the_accepted_ones(given):
    kind = type(given[0] if isinstance(given, list) else given).__name__
    with pytest.raises(TypeError, match=f'^Expected an image file, a folder, .* a Pillow image, or a list of these, got {kind}. Convert'):
        expand(given)


def test_a_pillow_image_is_predicted_as_its_file(inferencer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(read_rgb(CAT)[::2, ::2]).save(tmp_path / 'cat.png', exif=exif)
    with Image.open(tmp_path / 'cat.png') as image:
        (found,), (expected,) = inferencer(image, min_score=0), inferencer(tmp_path / 'cat.png', min_score=0)
        assert found.image_id == 'array_0' and found.path is None and found.size == expected.size
        assert len(found) and np.array_equal(found.bboxes, expected.bboxes) and np.array_equal(found.scores, expected.scores)
        assert np.array_equal(found.draw(image), expected.draw())
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'cat.png').read_bytes()[:2000])
    with Image.open(tmp_path / 'cut.png') as image, pytest.raises(ValueError, match='cut.png. is not readable'):
        inferencer(image)


def test_a_config_without_checkpoint_is_an_error(trained):
    with pytest.raises(ValueError, match='pass the checkpoint too'):
        LabelPENetInferencer(trained[0] / 'toy.py')


def test_a_checkpoint_without_config_is_an_error(trained):
    with pytest.raises(ValueError, match='needs the config that it was trained with'):
        LabelPENetInferencer(checkpoint=trained[0] / 'iter_1.pth')


def test_classes_are_named_as_in_the_checkpoint(trained, tmp_path):
    folder, config, model = trained
    names = tuple(config.test_dataloader.dataset.metainfo.classes)
    for classes in (names[::-1], names[:3]):
        torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': classes}}}, tmp_path / f'{len(classes)}.pth')
    assert LabelPENetInferencer(folder / 'toy.py', tmp_path / '4.pth', device='cpu').classes == names[::-1]
    with pytest.raises(ValueError, match='3.pth was trained on the classes lolly, cone, tree, the config has lolly'):
        LabelPENetInferencer(folder / 'toy.py', tmp_path / '3.pth', device='cpu')


def test_of_a_checkpoint_of_some_stages_the_network_has_these_alone(trained, inferencer, images, tmp_path):
    path = publish(trained[0] / 'iter_1.pth', tmp_path, ['classification', 'detection'])
    partial = LabelPENetInferencer(trained[0] / 'toy.py', path, device='cpu')
    assert partial.stages == ('classification', 'detection')
    (found,), (expected,) = (given(images[0], stage='detection', min_score=0) for given in (partial, inferencer))
    assert np.array_equal(found.bboxes, expected.bboxes) and np.array_equal(found.masks, expected.masks)
    with pytest.raises(ValueError, match='Unknown stage refinement'):
        partial(images[0], stage='refinement')


def test_the_network_that_comes_with_the_package_finds_a_cat():
    inferencer = LabelPENetInferencer(device='cpu')
    assert inferencer.stages == ('classification', 'detection', 'segmentation') and inferencer.classes == VOC_CLASSES
    (found,) = inferencer(CAT)
    assert found.classes[found.labels[0]] == 'cat' and found.scores[0] > 0.5
    assert found.masks[0][80:180, 150:250].mean() > 0.8  # the middle of its face


def test_a_work_dir_that_is_not_there_is_not_taken_for_a_config(tmp_path):
    with pytest.raises(FileNotFoundError, match='work_dirs/quickstart.* does not exist. Expected the work dir of a training'):
        LabelPENetInferencer(tmp_path / 'work_dirs/quickstart')


def test_two_slashes_at_the_start_of_a_path_are_one():
    assert names_below([Path('//in/a.jpg'), Path('/in/b.jpg')]) == (Path('/in'), {'a': 'a.jpg', 'b': 'b.jpg'})
    assert input_names(['//in/a.jpg']) == ['a']


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='contains no image'):
        expand(tmp_path)


def test_grey_arrays_become_rgb():
    assert checked_array(np.full((20, 30), 7, np.uint8)).tolist() == np.full((20, 30, 3), 7).tolist()
    with pytest.raises(ValueError, match=r'at most 100 times as long as wide, got \(16, 1601\)'):
        checked_array(np.zeros((16, 1601, 3), np.uint8))


@pytest.mark.parametrize('name', ['nothing', 'cuda:99', 'meta'])
def test_a_device_that_computes_nothing_is_one_line(name):
    with pytest.raises(ValueError, match=f"Device '{name}' cannot be used here") as error:
        usable_device(name)
    assert '\n' not in str(error.value)
