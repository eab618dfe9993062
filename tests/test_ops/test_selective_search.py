import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import warm

from mmlabelpenet.commands import selective_search as command
from mmlabelpenet.datasets.proposals import ProposalFile
from mmlabelpenet.evaluation.overlaps import box_iou
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.files import file_hash, locked
from mmlabelpenet.ops import selective_search as selective
from mmlabelpenet.ops.selective_search import SelectiveSearchSettings, selective_search, shrunk_search, thin_proposals
from mmlabelpenet.workbench.quickstart.rendered import RenderSettings, render_dataset


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'toy'
    render_dataset(root, RenderSettings(num_train=6, num_test=1, height=96, width=128, min_size=30, max_size=70, num_polygons=8))
    return root


@pytest.fixture(scope='module')
def image(root):
    return cv2.imread(str(root / 'JPEGImages/train_00000.jpg'))


@pytest.fixture
def tool():
    return command


def random_boxes(count, seed=0):
    corners = np.sort(np.random.default_rng(seed).integers(0, 100, (count, 2, 2)), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1] + 1], 1).astype(np.float32)


def slow_iou(a, b):
    """Counts pixels on a canvas of 200 x 200."""
    masks = np.zeros((2, 200, 200), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, np.stack([a, b]).astype(int)):
        mask[y1:y2, x1:x2] = True
    return masks.all(0).sum() / masks.any(0).sum()


def test_iou_counts_pixels():
    first, second = random_boxes(6), random_boxes(7, seed=1)
    expected = [[slow_iou(a, b) for b in second] for a in first]
    np.testing.assert_allclose(box_iou(first, second), expected, atol=1e-12)


def test_every_run_returns_the_same_proposals_in_the_same_order(image):
    runs = [selective_search(image) for _ in range(4)]
    assert len(runs[0]) > 20
    for other in runs[1:]:
        assert np.array_equal(runs[0], other)


@pytest.mark.parametrize(
    ('mode', 'switch'),
    [('fast', 'switchToSelectiveSearchFast'), ('quality', 'switchToSelectiveSearchQuality'), ('single', 'switchToSingleStrategy')],
)
def test_each_mode_is_one_of_opencvs_and_an_image_of_small_regions_is_a_proposal_itself(monkeypatch, mode, switch):
    search = Mock(**{'process.return_value': [[0, 0, 30, 19]]})
    monkeypatch.setattr(selective, 'opencv_search', lambda: search)
    bboxes = selective_search(np.zeros((40, 60, 3), np.uint8), SelectiveSearchSettings(mode))
    assert [name for name, *_ in search.method_calls] == ['setBaseImage', switch, 'process']
    assert bboxes.tolist() == [[0, 0, 60, 40]]


def test_proposals_are_distinct_lie_in_the_image_and_are_large_enough(image):
    bboxes = selective_search(image, SelectiveSearchSettings(min_size=25))
    assert bboxes.dtype == np.float32 and len(bboxes) == len(np.unique(bboxes, axis=0))
    assert bboxes.min() >= 0 and (bboxes[:, 2:] <= [128, 96]).all()
    assert (bboxes[:, 2:] - bboxes[:, :2]).min() >= 25
    every = selective_search(image, SelectiveSearchSettings(min_size=1))
    sides = (every[:, 2:] - every[:, :2]).min(1)
    assert sides.min() < 25
    for least in (int(np.median(sides)), int(np.median(sides)) + 1):
        assert len(selective_search(image, SelectiveSearchSettings(min_size=least))) == (sides >= least).sum()


def test_a_limit_keeps_a_fixed_choice_of_all_proposals(image):
    every = selective_search(image, SelectiveSearchSettings(min_size=5))
    few = [selective_search(image, SelectiveSearchSettings(min_size=5, max_proposals=15)) for _ in range(3)]
    assert len(few[0]) == 15 < len(every)
    assert all(np.array_equal(few[0], other) for other in few)
    assert {tuple(box) for box in few[0]} <= {tuple(box) for box in every}


@pytest.mark.parametrize('limit', [1, 2, 7, 60, 199])
def test_thinning_keeps_as_many_as_asked_for_in_their_order(limit):
    bboxes = random_boxes(200)
    kept = thin_proposals(bboxes, limit)
    positions = [np.flatnonzero((bboxes == box).all(1))[0] for box in kept]
    assert len(kept) == limit and positions == sorted(set(positions))


def test_thinning_loses_less_recall_than_cutting():
    rng = np.random.default_rng(2)
    centres = random_boxes(60, seed=3) * 4
    crowd = np.concatenate([centres[:3].repeat(300, 0) + rng.uniform(-2, 2, (900, 4)), centres]).astype(np.float32)
    crowd[:, 2:] = np.maximum(crowd[:, 2:], crowd[:, :2] + 1)
    crowd = crowd[rng.permutation(len(crowd))]
    found = [(box_iou(centres, some).max(1) >= 0.5).mean() for some in (thin_proposals(crowd, 80), crowd[:80])]
    assert found[0] > 0.95 > 0.6 > found[1]


def test_few_proposals_are_left_alone():
    bboxes = random_boxes(5)
    assert np.array_equal(thin_proposals(bboxes, 5), bboxes)
    assert thin_proposals(bboxes[:0], 5).shape == (0, 4)


def test_boxes_that_overlap_by_just_a_threshold_are_no_repetitions_yet():
    """0.96 goes at 0.95, at which 0.95 stays."""
    bboxes = np.array([[200, 0, 300, 100], [200, 0, 300, 96], [0, 0, 100, 100], [0, 0, 100, 95]], np.float32)
    assert thin_proposals(bboxes, 3).tolist() == bboxes[[0, 2, 3]].tolist()


def test_bad_arguments_are_refused(image):
    for settings, message in (({'mode': 'slow'}, 'slow'), ({'min_size': 0}, 'min_size'), ({'max_proposals': -1}, '-1')):
        with pytest.raises(ValueError, match=message):
            SelectiveSearchSettings(**settings)
    for wrong in (image[..., 0], image.astype(np.float32), image[:0]):
        with pytest.raises(ValueError, match='uint8 image'):
            selective_search(wrong)
    with pytest.raises(ValueError, match='limit of 0'):
        thin_proposals(random_boxes(3), 0)


def run_tool(tool, root, out, *options):
    tool.main([str(root), 'train', str(out), '--workers', '1', *options])


def test_an_opencv_without_contributed_modules_is_named_and_nothing_is_written(tool, root, tmp_path, monkeypatch):
    monkeypatch.delattr(cv2, 'ximgproc')
    with pytest.raises(ImportError, match='install only opencv-contrib-python-headless'):
        tool.main([str(root), 'train', str(tmp_path / 'train.npz')])
    assert not list(tmp_path.glob('train*'))


def test_contributed_modules_are_asked_for_where_their_absence_is_handled():
    repository = Path(__file__).resolve().parents[2]
    paths = [path for folder in ('mmlabelpenet', 'tools', 'demo') for path in (repository / folder).rglob('*.py')]
    users = {path.name for path in paths if 'cv2.ximgproc.' in path.read_text(encoding='utf-8')}
    assert users == {'selective_search.py', 'superpixels.py'}


def test_the_tool_writes_the_same_bytes_whatever_the_number_of_processes(tool, root, tmp_path, capsys):
    run_tool(tool, root, tmp_path / 'one.npz')
    run_tool(tool, root, tmp_path / 'two.npz', '--workers', '2')
    assert (tmp_path / 'one.npz').read_bytes() == (tmp_path / 'two.npz').read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['one.npz', 'two.npz']
    printed = capsys.readouterr().out
    assert '6 images, proposals per image: mean' in printed and 'IoU at 0.5:' in printed and 'at 0.7:' in printed


def test_the_file_fits_the_images(tool, root, tmp_path):
    run_tool(tool, root, tmp_path / 'p.npz', '--min-size', '15')
    proposals = ProposalFile(tmp_path / 'p.npz')
    assert proposals.settings['min_size'] == 15 and proposals.settings['split'] == 'train' and proposals.settings['mode'] == 'fast'
    image = cv2.imread(str(root / 'JPEGImages/train_00002.jpg'))
    expected = selective_search(image, SelectiveSearchSettings(min_size=15))
    assert np.array_equal(proposals.get('train_00002')[0], expected) and proposals.size('train_00002') == image.shape[:2]


def test_recall_counts_objects_that_a_proposal_covers(tool, root, tmp_path, capsys):
    run_tool(tool, root, tmp_path / 'p.npz')
    devkit = VOCDevkit(root)
    best = []
    for image_id in devkit.image_ids('train'):
        bboxes = ProposalFile(tmp_path / 'p.npz').get(image_id)[0]
        best += [max(slow_iou(target, box) for box in bboxes) for target in devkit.all_boxes(image_id).bboxes]
    expected = ', '.join(f'at {t}: {100 * np.mean(np.array(best) >= t):.1f} %' for t in (0.5, 0.7))
    assert f'recall of {len(best)} objects in 6 annotated images (without difficult ones), IoU {expected}' in capsys.readouterr().out


def test_a_killed_run_goes_on_where_it_stopped(tool, root, tmp_path, monkeypatch):
    run_tool(tool, root, tmp_path / 'whole.npz')
    search = tool.shrunk_search
    with monkeypatch.context() as slow:
        slow.setattr(tool, 'shrunk_search', lambda *arguments: (time.sleep(0.4), search(*arguments))[1])
        process = multiprocessing.get_context('fork').Process(target=run_tool, args=(tool, root, tmp_path / 'p.npz'))
        process.start()
    parts = tmp_path / 'p.npz.parts'
    end = time.time() + 30
    while len(list(parts.glob('*.npz'))) < 2 and time.time() < end:
        time.sleep(0.02)
    process.kill()
    process.join()
    done = {path.name: path.stat().st_mtime_ns for path in parts.glob('*.npz')}
    assert 2 <= len(done) < 6 and not (tmp_path / 'p.npz').exists()
    searched = []
    search_one = tool.search_one
    monkeypatch.setattr(tool, 'search_one', lambda job: (searched.append(job[0]), search_one(job))[1])
    run_tool(tool, root, tmp_path / 'p.npz')
    assert len(searched) == 6 - len(done) and not {f'{name}.npz' for name in searched} & set(done)
    assert (tmp_path / 'p.npz').read_bytes() == (tmp_path / 'whole.npz').read_bytes()
    assert not parts.exists()


def test_a_killed_search_process_ends_the_command_with_one_line(tool, root, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, 'search_one', kill_this_process)
    with pytest.raises(ValueError, match='One of 2 search processes was killed.* --workers'):
        run_tool(tool, root, tmp_path / 'p.npz', '--workers', '2')


def kill_this_process(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_second_of_two_searches_for_one_file_is_refused(tool, root, tmp_path):
    with locked(tmp_path / 'p.npz'), pytest.raises(ValueError, match=r'p\.npz. is being written by'):
        run_tool(tool, root, tmp_path / 'p.npz')
    run_tool(tool, root, tmp_path / 'p.npz')
    assert len(ProposalFile(tmp_path / 'p.npz')) == 6


def test_an_image_list_cannot_make_the_tool_write_beside_its_parts(tool, root, tmp_path):
    shutil.copytree(root, tmp_path / 'a/kit')
    (tmp_path / 'a/kit/photo.jpg').write_bytes((root / 'JPEGImages/train_00000.jpg').read_bytes())
    (tmp_path / 'a/kit/ImageSets/Main/train.txt').write_text('../photo\n')
    with pytest.raises(ValueError, match=r"'\.\./photo.* is not a valid file name inside its folder"):
        run_tool(tool, tmp_path / 'a/kit', tmp_path / 'out/p.npz')
    assert not [path for path in tmp_path.rglob('*.npz')]


def test_a_damaged_part_is_named(tool, root, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(tool, 'write_proposals', lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_tool(tool, root, tmp_path / 'p.npz')
    part = tmp_path / 'p.npz.parts/train_00003.npz'
    content = part.read_bytes()
    part.write_bytes(content[:-200] + bytes([content[-200] ^ 1]) + content[-199:])
    with pytest.raises(ValueError, match='train_00003.npz. is damaged'):
        run_tool(tool, root, tmp_path / 'p.npz')


def test_shards_merge_into_the_bytes_of_one_run(tool, root, tmp_path):
    run_tool(tool, root, tmp_path / 'whole.npz')
    with pytest.raises(FileNotFoundError, match="4 of 4 shards are missing, the first: '.*p.1of4.npz'"):
        run_tool(tool, root, tmp_path / 'p.npz', '--merge', '4')
    for number in (3, 1, 4, 2):
        run_tool(tool, root, tmp_path / 'p.npz', '--shard', f'{number}/4')
    assert ProposalFile(tmp_path / 'p.1of4.npz').image_ids == ['train_00000', 'train_00004']
    with pytest.raises(ValueError, match='p.1of4.npz. belongs to another list or other settings'):
        run_tool(tool, root, tmp_path / 'p.npz', '--merge', '4', '--min-size', '30')
    run_tool(tool, root, tmp_path / 'p.npz', '--merge', '4')
    assert (tmp_path / 'p.npz').read_bytes() == (tmp_path / 'whole.npz').read_bytes()
    path = root / 'JPEGImages/train_00002.jpg'
    assert ProposalFile(tmp_path / 'p.npz').image_hash(path.stem) == file_hash(path)[:16]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['p.npz', 'whole.npz']
    with pytest.raises(ValueError, match='shard 7 of 7 is empty'):
        run_tool(tool, root, tmp_path / 'q.npz', '--shard', '7/7')
    for wrong in ('0/4', '5/4', '3', 'a/b'):
        with pytest.raises(SystemExit):
            tool.parse_args([str(root), 'train', 'p.npz', '--shard', wrong])


def test_a_slurm_array_searches_shards_and_merges_them(tool, root, tmp_path):
    """A stand-in for sbatch runs what it is given, once for every number of the array; one for Python writes down what is to run."""
    fake = tmp_path / 'bin/sbatch'
    fake.parent.mkdir()
    (fake.parent / 'python').write_text('#!/usr/bin/env bash\nprintf "%s\\0" "$PYTHONPATH" "$@" >> "$CALLS"; echo >> "$CALLS"\n')
    fake.write_text(
        '#!/usr/bin/env bash\nfor word in "$@"; do case $word in --array=1-*) last=${word##*-};; esac; done\n'
        'for number in $(seq ${last:-1}); do SLURM_ARRAY_TASK_ID=$number bash -c "${@: -1}" >&2 || exit 1; done\necho "7;cluster"\n'
    )
    for program in fake.parent.iterdir():
        program.chmod(0o755)
    out = tmp_path / 'my proposals.npz'
    run_tool(tool, root, tmp_path / 'whole.npz')
    script = Path(__file__).parents[2] / 'tools/slurm_proposals.sh'
    command = ['bash', script, 'cpu', '2', root, 'train', out]
    environment = os.environ | dict(PATH=f'{fake.parent}:{os.environ["PATH"]}', CPUS_PER_TASK='1', CALLS=str(tmp_path / 'calls'))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    calls = (tmp_path / 'calls').read_text().splitlines()
    for call in calls:
        path, *words = call.split('\0')[:-1]
        warm.run(*words, PYTHONPATH=path).check_returncode()
    assert len(calls) == 3 and done.stdout == '7;cluster\n' and out.read_bytes() == (tmp_path / 'whole.npz').read_bytes()


def test_a_complete_file_is_left_alone_and_other_settings_need_overwrite(tool, root, tmp_path):
    out = tmp_path / 'p.npz'
    run_tool(tool, root, out)
    before = (out.read_bytes(), out.stat().st_mtime_ns)
    run_tool(tool, root, out)
    with pytest.raises(ValueError, match='--overwrite'):
        run_tool(tool, root, out, '--min-size', '30')
    assert (out.read_bytes(), out.stat().st_mtime_ns) == before
    run_tool(tool, root, out, '--min-size', '30', '--overwrite')
    assert ProposalFile(out).settings['min_size'] == 30


def change(root, name):
    path = next((root / 'JPEGImages').glob(f'{name}.*'))
    cv2.imwrite(str(path), cv2.imread(str(path))[:, ::-1].copy())


def test_an_image_that_changes_during_an_interruption_is_searched_again(tool, root, tmp_path, monkeypatch):
    root = shutil.copytree(root, tmp_path / 'root')
    names, searched, search_one = sorted(path.stem for path in (root / 'JPEGImages').glob('train_*')), [], tool.search_one

    def interrupted(job):
        if len(searched) == 3:
            raise KeyboardInterrupt
        searched.append(job[0])
        return search_one(job)

    with monkeypatch.context() as breaks:
        breaks.setattr(tool, 'search_one', interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_tool(tool, root, tmp_path / 'p.npz', '--workers', '1')
    done = list(searched)
    change(root, done[1])
    searched.clear()
    monkeypatch.setattr(tool, 'search_one', lambda job: (searched.append(job[0]), search_one(job))[1])
    run_tool(tool, root, tmp_path / 'p.npz', '--workers', '1')
    assert sorted(searched) == sorted({*names, done[1]} - {done[0], done[2]})


def test_a_complete_file_of_images_that_have_changed_is_not_called_complete(tool, root, tmp_path):
    root = shutil.copytree(root, tmp_path / 'root')
    run_tool(tool, root, tmp_path / 'p.npz')
    change(root, sorted(path.stem for path in (root / 'JPEGImages').glob('train_*'))[2])
    with pytest.raises(ValueError, match='has changed since its proposals .* were computed.*\n.*--overwrite'):
        run_tool(tool, root, tmp_path / 'p.npz')
    run_tool(tool, root, tmp_path / 'p.npz', '--overwrite')
    run_tool(tool, root, tmp_path / 'p.npz')


def test_parts_of_other_settings_are_not_mixed_in(tool, root, tmp_path):
    parts = tmp_path / 'p.npz.parts'
    parts.mkdir()
    (parts / 'settings.json').write_text(json.dumps({'mode': 'quality'}))
    np.savez(parts / 'train_00000.npz', size=[96, 128], bboxes=np.array([[0, 0, 9, 9]], np.float32))
    with pytest.raises(ValueError, match='started with'):
        run_tool(tool, root, tmp_path / 'p.npz')
    run_tool(tool, root, tmp_path / 'p.npz', '--overwrite')
    assert len(ProposalFile(tmp_path / 'p.npz').get('train_00000')[0]) > 1


def test_a_folder_that_has_the_name_of_parts_but_no_settings_is_kept(tool, root, tmp_path):
    (tmp_path / 'p.npz.parts').mkdir()
    (tmp_path / 'p.npz.parts/mine.txt').touch()
    for words in ((), ('--overwrite',)):
        with pytest.raises(ValueError, match=r'got a folder without settings.json. Move it, or delete it\.$'):
            run_tool(tool, root, tmp_path / 'p.npz', *words)
    assert (tmp_path / 'p.npz.parts/mine.txt').exists()


def test_images_without_annotations_get_proposals_and_no_recall(tool, root, tmp_path, capsys):
    (tmp_path / 'JPEGImages').mkdir()
    (tmp_path / 'ImageSets/Main').mkdir(parents=True)
    (tmp_path / 'ImageSets/Main/train.txt').write_text('photo\n')
    (tmp_path / 'JPEGImages/photo.jpg').write_bytes((root / 'JPEGImages/train_00000.jpg').read_bytes())
    run_tool(tool, tmp_path, tmp_path / 'p.npz')
    printed = capsys.readouterr().out
    assert '1 image,' in printed and 'recall' not in printed
    (tmp_path / 'JPEGImages/photo.jpg').write_text('not an image')
    with pytest.raises(ValueError, match=r'photo\.jpg.* not readable'):
        run_tool(tool, tmp_path, tmp_path / 'q.npz')


def test_a_reduced_search_finds_what_the_search_of_the_reduced_image_finds(image):
    large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(large, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.array_equal(shrunk_search(large, max_side=max(image.shape[:2])), selective_search(small) * 4)
    assert np.array_equal(shrunk_search(image, max_side=500), selective_search(image))


def test_the_tool_can_search_reduced_images_and_remembers_it(tool, root, tmp_path):
    run_tool(tool, root, tmp_path / 'p.npz', '--max-side', '64')
    file = ProposalFile(tmp_path / 'p.npz')
    assert file.settings['max_side'] == 64
    assert file.size('train_00000') == (96, 128)
    assert file.get('train_00000')[0].max() <= 128
    with pytest.raises(ValueError, match='--overwrite'):
        run_tool(tool, root, tmp_path / 'p.npz')
