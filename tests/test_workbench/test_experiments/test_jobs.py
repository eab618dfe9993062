"""Training and test jobs detect whether they are finished, what remains, and which config a folder belongs to."""

import json
import os
from pathlib import Path

import pytest

from mmlabelpenet.apis.config import recipe_hash
from mmlabelpenet.apis.train import note_run
from mmlabelpenet.workbench.experiments.jobs import EvaluationJob, TrainingJob
from mmlabelpenet.workbench.experiments.launch import Launch

ABOUT = dict(protocol='test', data='toy', split='test', images=2, images_in_split=2)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A config of five iterations."""
    monkeypatch.chdir(tmp_path)
    path = Path('leaf.py')
    model = 'dict(stages=dict(classification=dict(), detection=dict()))'
    train_cfg = 'dict(phases=dict(classification=dict(iters=5)))'
    path.write_text(f'model = {model}\ntrain_cfg = {train_cfg}\nrandomness = dict(seed=0)\n')
    return path


def value(command, option):
    return command[command.index(option) + 1]


def checkpoint(folder, iteration=5):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'iter_{iteration}.pth').write_text('')
    return folder / f'iter_{iteration}.pth'


def test_a_new_or_interrupted_training_is_resumed_and_a_finished_one_has_nothing_left(path):
    job = TrainingJob(path, ('--amp', '--cfg-options', 'a.b=false'), {'a.b': False})
    (command,) = job.commands(Launch())
    assert command[2:] == ['leaf.py', '--work-dir', 'work_dirs/leaf', '--resume', '--amp', '--cfg-options', 'a.b=false']
    assert job.config.a.b is False and job.log == Path('work_dirs/leaf/output.txt') and str(job) == 'leaf.py'
    checkpoint(Path('work_dirs/leaf'), 3)
    assert job.commands(Launch()) == [command]
    with pytest.raises(ValueError, match=r'train.py did not write work_dirs/leaf/iter_5.pth'):
        job.confirm()
    checkpoint(Path('work_dirs/leaf'))
    assert job.commands(Launch()) == []
    job.confirm()


def test_the_folder_is_that_of_the_call_or_of_the_config(path):
    assert TrainingJob(path, folder=Path('x/leaf')).work_dir == Path('x/leaf')
    path.write_text(path.read_text() + "work_dir = 'mine'\n")
    assert TrainingJob(path).work_dir == Path('mine')


def test_a_training_in_epochs_ends_with_the_last_one(path):
    path.write_text('train_cfg = dict(max_epochs=3)\n')
    assert TrainingJob(path).product == Path('work_dirs/leaf/epoch_3.pth')


def test_a_training_without_an_end_is_refused(path):
    path.write_text('train_cfg = dict()\n')
    with pytest.raises(ValueError, match='leaf.py does not define the training length'):
        TrainingJob(path).commands(Launch())


def test_a_folder_with_a_run_of_other_settings_is_not_gone_on_with(path):
    job = TrainingJob(path)
    note_run(job.config)
    checkpoint(job.work_dir, 3)
    assert job.commands(Launch())
    for other in (TrainingJob(path, overrides={'randomness.seed': 1}), TrainingJob(path, overrides=dict(log_level='ERROR'))):
        with pytest.raises(ValueError, match='work_dirs/leaf contains a run with other settings'):
            other.commands(Launch())
    path.write_text(path.read_text().replace('iters=5', 'iters=6'))
    with pytest.raises(ValueError, match=r'continue it with\n    python tools/train.py leaf.py --work-dir work_dirs/leaf --resume'):
        TrainingJob(path).commands(Launch())


@pytest.mark.parametrize('noted', [True, False])
def test_a_folder_with_a_run_of_another_config_is_not_gone_on_with(path, noted):
    other = Path('other.py')
    other.write_text(path.read_text())
    folder = Path('work_dirs/leaf')
    checkpoint(folder, 3)
    if noted:
        note_run(TrainingJob(other, folder=folder).config)
    else:
        (folder / 'other.py').write_text('')  # mmengine writes the config out
    with pytest.raises(ValueError, match=r'work_dirs/leaf contains a run of another config, other'):
        TrainingJob(path).commands(Launch())
    (folder / 'iter_3.pth').unlink()
    assert TrainingJob(path).commands(Launch())  # nothing to be harmed


def test_the_last_checkpoint_is_tested_into_the_folder_of_its_run(path):
    job = EvaluationJob(path, ('--corloc',), dump='found.json')
    with pytest.raises(
        FileNotFoundError, match=r'work_dirs/leaf contains no checkpoint. Train first:\n    bash tools/dist_train.sh leaf.py GPUS'
    ):
        job.commands(Launch())
    place = checkpoint(Path('work_dirs/leaf'), 3)
    place.write_bytes(b'PK\x05\x06' + bytes(18))  # an archive with nothing in it
    (command,) = EvaluationJob(path, ('--corloc',), dump='found.json').commands(Launch())
    assert command[2:4] == ['leaf.py', str(place)] and command[-1] == '--corloc'
    assert value(command, '--work-dir') == 'work_dirs/leaf/test' and value(command, '--out') == 'work_dirs/leaf/metrics.json'
    assert value(command, '--dump') == 'work_dirs/leaf/found.json'


def write_results(job, place, **changes):
    meta = dict(
        checkpoint=str(place),
        recipe_sha256=recipe_hash(job.config),
        stages=['classification', 'detection'],
        tta=None,
        corloc=None,
        test=ABOUT,
    )
    path = job.work_dir / job.out
    path.write_text(json.dumps({'detection': {'mIoU': 1.0, 'per_class': {}}, 'meta': meta | changes}))


def test_a_checkpoint_that_was_tested_by_the_same_options_is_done(path):
    path.write_text(path.read_text() + 'corloc_dataloader = dict(a=1)\n')
    place = checkpoint(Path('work_dirs/leaf'))
    job = EvaluationJob(path, given=place)
    with pytest.raises(ValueError, match='test.py did not write work_dirs/leaf/metrics.json'):
        job.confirm()
    write_results(job, place)
    assert job.commands(Launch()) == []
    job.confirm()
    for options in (dict(corloc=True), dict(tta=True), dict(stage='detection'), dict(overrides=dict(log_level='ERROR'))):
        assert EvaluationJob(path, given=place, **options).commands(Launch())
    assert EvaluationJob(path, given=place, dump='found.json').commands(Launch())
    assert EvaluationJob(path, given=place, out='other.json').commands(Launch())
    write_results(job, 'another.pth')
    assert job.commands(Launch())
    write_results(job, place)
    os.utime(place, ns=(0, (job.work_dir / job.out).stat().st_mtime_ns + 1))  # trained anew
    assert job.commands(Launch())


def test_a_checkpoint_that_does_not_exist_is_found_before_testing(path, monkeypatch):
    for check in ('check_config', 'check_inputs'):
        monkeypatch.setattr(f'mmlabelpenet.workbench.experiments.jobs.{check}', lambda *args: None)
    job = EvaluationJob(path, given=Path('none.pth'))
    with pytest.raises(FileNotFoundError, match='Checkpoint none.pth does not exist'):
        job.check()
    job.check({Path('none.pth').resolve()})


def test_a_training_is_checked_as_it_will_begin(path, monkeypatch):
    seen = []
    monkeypatch.setattr('mmlabelpenet.workbench.experiments.jobs.check_training', lambda config, promised: seen.append(config))
    path.write_text(path.read_text() + "load_from = 'start.pth'\n")
    job = TrainingJob(path)
    job.check()
    checkpoint(job.work_dir, 3).write_bytes(b'PK\x05\x06' + bytes(18))
    job.check()
    job.check(resume='given.pth')
    assert [config.load_from for config in seen] == ['start.pth', 'work_dirs/leaf/iter_3.pth', 'given.pth']
    assert job.config.load_from == 'start.pth'
