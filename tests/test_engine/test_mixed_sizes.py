"""Images of several sizes, padded in batches: no result depends on which images share a batch."""

from pathlib import Path

import pytest
import toy
from training import killed, on_ranks

from mmlabelpenet.apis.train import allow_cpu_ranks
from mmlabelpenet.engine.label_pass import LabelPass

PHASES = [('classification', 2), ('detection', 3), ('refinement', 1)]


@pytest.fixture(scope='module')
def root(toy_root, tmp_path_factory):
    return toy.with_mixed_sizes(toy_root, tmp_path_factory.mktemp('mixed'))


@pytest.fixture(scope='module')
def whole(root, tmp_path_factory):
    """Stores and weights of a run that labels one image at a time."""
    return ends(run(root, tmp_path_factory.mktemp('whole'), label_batch=1))


def run(root, work_dir, label_batch, resume=False):
    config = toy.run_config(root, work_dir, PHASES)
    config.label_dataloader.batch_size, config.resume = label_batch, resume
    runner = toy.build_runner(config)
    runner.train()
    return runner


def ends(runner):
    return stores(runner.work_dir), toy.weights(runner.model)


def stores(work_dir):
    return {path.name: path.read_bytes() for path in Path(work_dir, 'pseudo_labels').glob('*.json')}


@pytest.mark.parametrize('label_batch', [3, pytest.param(6, marks=pytest.mark.slow)])
def test_another_label_batch_changes_no_bit_of_stores_and_weights(root, whole, tmp_path, label_batch):
    found = ends(run(root, tmp_path, label_batch))
    assert found[0] == whole[0] and len(found[0]) == 2 and toy.different(found[1], whole[1]) == []


@pytest.mark.parametrize(('stage', 'images'), [('classification', 3), pytest.param('detection', 1, marks=pytest.mark.slow)])
def test_a_label_pass_that_is_killed_and_goes_on_with_another_batch_changes_no_bit(root, whole, tmp_path, stage, images):
    assert killed(root, tmp_path, stage=stage, images=images, phases=PHASES)
    found = ends(run(root, tmp_path, label_batch=2, resume=True))
    assert found[0] == whole[0] and toy.different(found[1], whole[1]) == []


def test_several_ranks_make_the_store_of_one(root, tmp_path):
    def label(rank, ranks):
        folder = tmp_path / str(ranks)
        config = toy.run_config(root, folder, PHASES)
        if ranks > 1:
            config.launcher = 'pytorch'
            allow_cpu_ranks(config)
        runner = toy.build_runner(config)
        model = getattr(runner.model, 'module', runner.model)
        LabelPass(config.label_dataloader, folder / 'pseudo_labels', config.model).run(runner, 'classification', model)

    label(0, 1)
    assert on_ranks(2, lambda rank: label(rank, 2), tmp_path / '2')[1] == [0, 0]
    assert stores(tmp_path / '2') == stores(tmp_path / '1') != {}
