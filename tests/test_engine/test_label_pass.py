"""The label pass between two phases."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch
import toy
from training import count_labelled, killed, train

from mmlabelpenet.datasets.label_writer import PseudoLabelWriter, differences
from mmlabelpenet.datasets.proposals import ProposalFile, ProposalRecord
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.engine import label_pass
from mmlabelpenet.engine.label_pass import LabelPass, check_maker, fingerprint, makers_hash
from mmlabelpenet.models.feature_cache import weights_hash
from mmlabelpenet.registry import DATASETS, MODELS
from mmlabelpenet.workbench.proposal_writer import write_proposals

PHASES = [('classification', 2), ('detection', 1)]


@MODELS.register_module(force=True)
class LouderBackbone(toy.ToyBackbone):
    """Another map from the same weights."""

    def forward(self, x):
        return tuple(2 * each for each in super().forward(x))


@pytest.fixture(scope='module')
def trained_once(toy_root, tmp_path_factory):
    return train(toy_root, tmp_path_factory.mktemp('trained'), phases=PHASES)


@pytest.fixture
def trained(trained_once, toy_root, tmp_path):
    """A copy of a finished run."""
    shutil.copytree(trained_once.work_dir, tmp_path, dirs_exist_ok=True)
    runner = toy.build_runner(toy.run_config(toy_root, tmp_path, PHASES))
    runner.model.load_state_dict(trained_once.model.state_dict())
    return runner


def run_pass(runner, stage='classification'):
    return LabelPass(runner.cfg.label_dataloader, f'{runner.work_dir}/pseudo_labels', runner.cfg.model).run(runner, stage, runner.model)


def test_the_store_holds_what_the_generator_says_in_original_pixels(trained):
    store, model = run_pass(trained), trained.model
    dataset = trained.train_loop.dataloader.dataset
    assert len(store) == len(dataset) == 6
    loader = trained.build_dataloader(dict(trained.cfg.label_dataloader, sampler=dict(type='DefaultSampler', shuffle=False)))
    model.eval()
    for batch in loader:
        data = model.data_preprocessor(batch)
        for sample, told in zip(data['data_samples'], model.explain('classification', **_args(data)), strict=True):
            pseudo, instances = model.stages['classification'].labels.label(*told), store.instances(sample.img_id)
            assert [i['bbox_label'] for i in instances] == pseudo.labels.tolist()
            assert [i['weight'] for i in instances] == pytest.approx(pseudo.weights.tolist())
            for instance, box in zip(instances, pseudo.bboxes, strict=True):
                assert instance['bbox'] == pytest.approx(box.tolist(), abs=1e-3)


def _args(data):
    return dict(batch_inputs=data['inputs'], batch_data_samples=data['data_samples'])


def test_a_finished_store_of_these_weights_is_read(trained, monkeypatch):
    labelled = count_labelled(monkeypatch)
    run_pass(trained)
    assert labelled == []


def test_labels_are_made_of_images_that_no_augmentation_of_batches_changes(trained, monkeypatch):
    kind, modes = type(trained.model.data_preprocessor), []
    monkeypatch.setattr(kind, 'forward', lambda self, data, training=False, real=kind.forward: modes.append(training) or real(self, data))
    (Path(trained.work_dir) / 'pseudo_labels/classification.json').unlink()
    run_pass(trained)
    assert modes == [False] * 3


@pytest.mark.parametrize('stage', ['classification', 'refinement'])
def test_processes_beside_the_network_do_not_change_a_byte(trained, stage):
    path = Path(trained.work_dir) / f'pseudo_labels/{stage}.json'
    contents = []
    for workers in (0, 1, 2):  # in this process, with a process for labels, and network and labels in processes
        trained.cfg.label_dataloader.num_workers = workers
        path.unlink(missing_ok=True)
        assert len(run_pass(trained, stage)) == 6
        contents.append(path.read_bytes())
    assert contents[0] == contents[1] == contents[2] and b'"counts"' in contents[0]


@pytest.mark.parametrize(('workers', 'beside'), [(1, False), (2, True)])
def test_on_the_cpu_several_processes_run_the_network(trained, tmp_path, monkeypatch, workers, beside):
    (Path(trained.work_dir) / 'pseudo_labels/classification.json').unlink()
    trained.cfg.label_dataloader.num_workers = workers
    log, real = tmp_path / 'processes', trained.model.explain

    def explain(*args, **kwargs):
        with log.open('a') as file:
            file.write(f'{os.getpid()}\n')
        return real(*args, **kwargs)

    monkeypatch.setattr(trained.model, 'explain', explain)
    run_pass(trained)
    processes = set(map(int, log.read_text().split()))
    assert (os.getpid() not in processes) == beside and len(processes) == workers


@pytest.mark.parametrize('what', ['stage', 'backbone', 'generator'])
def test_a_finished_store_of_other_weights_or_settings_is_made_again(trained, monkeypatch, what):
    labelled = count_labelled(monkeypatch)
    old = run_pass(trained)
    if what == 'generator':
        trained.model.stages['classification'].labels.weights = 'one'
    else:
        module = trained.model.backbone if what == 'backbone' else trained.model.stages['classification']
        with torch.no_grad():
            next(module.parameters())[0] += 1e-3
    new = run_pass(trained)
    assert len(labelled) == 6 and old.header != new.header
    assert PseudoLabelStore.load(f'{trained.work_dir}/pseudo_labels/classification.json').header == new.header


def _change_a_tag(root, config):
    path = next(path for path in sorted((root / 'ImageSets/Main').glob('*_train.txt')) if ' 1\n' in path.read_text())
    path.write_text(path.read_text().replace('-1', ' 1'))


def _change_a_proposal(root, config):
    file = ProposalFile(root.parent / 'train.npz')
    records = [ProposalRecord(name, file.size(name), *file.get(name)) for name in file.image_ids]
    records[2].bboxes[0, 2] -= 0.5
    write_proposals(root.parent / 'train.npz', records, dict(split='train'))


def _drop_an_image(root, config):
    path = root / 'ImageSets/Main/train.txt'
    path.write_text(''.join(path.read_text().splitlines(keepends=True)[1:]))


def _set(key, value):
    return lambda root, config: config.merge_from_dict({key: value})


CHANGES = dict(
    tags=_change_a_tag,
    proposals=_change_a_proposal,
    max_proposals=_set('label_dataloader.dataset.max_proposals', 9),
    min_proposal_area=_set('label_dataloader.dataset.min_proposal_area', 0.05),
    pipeline=_set('label_dataloader.dataset.pipeline.2.transforms.0.scale', (160, 120)),
    detector=_set('model.stages.classification.detector.test_cfg.score_thr', 0.2),
    backbone=_set('model.backbone.type', 'LouderBackbone'),
    rounded_maps=lambda root, config: config.model.update(feature_cache=dict(dir=str(root.parent / 'maps'))),
    generator=_set('model.stages.classification.labels.nms_thr', 0.35),
    images=_drop_an_image,
)


@pytest.mark.parametrize('part', CHANGES)
def test_a_store_of_which_one_input_has_changed_is_made_again_and_one_line_says_which(root, tmp_path, monkeypatch, part):
    said = []
    monkeypatch.setattr(label_pass, 'warn', said.append)
    labelled, config = count_labelled(monkeypatch), toy.run_config(root, tmp_path / 'run', PHASES)
    run_pass(toy.build_runner(config))
    CHANGES[part](root, config)
    for _ in range(2):  # the second one is read
        run_pass(toy.build_runner(config))
    also = dict(images=['tags', 'proposals']).get(part, [])
    assert len(labelled) == (11 if part == 'images' else 12)
    assert len(said) == 1 and said[0].endswith(f'was generated with different {", ".join([part, *also])} and is regenerated.'), said


def test_other_classes_make_a_store_again(root, tmp_path, monkeypatch):
    labelled, config = count_labelled(monkeypatch), toy.run_config(root, tmp_path / 'run', PHASES)
    old = run_pass(toy.build_runner(config))
    config.label_dataloader.dataset.metainfo = dict(classes=config.label_dataloader.dataset.metainfo.classes[::-1])
    assert run_pass(toy.build_runner(config)).header['classes'] == old.header['classes'][::-1] and len(labelled) == 12


def test_other_stages_do_not_make_a_store_old(trained, monkeypatch):
    labelled = count_labelled(monkeypatch)
    with torch.no_grad():
        next(trained.model.stages['segmentation'].parameters())[0] += 1
    run_pass(trained)
    assert labelled == []


def test_labels_of_a_consensus_depend_on_the_weights_and_the_settings_of_all_heads_in_it(root, tmp_path):
    config = toy.run_config(root, tmp_path / 'run', PHASES)
    config.model.consensus = True
    net, dataset = toy.build_runner(config).model, DATASETS.build(config.label_dataloader.dataset)

    def made():
        return {name: fingerprint(config.model, name, net, dataset) for name in ('detection', 'refinement')}

    before = made()
    with torch.no_grad():
        next(net.stages['classification'].parameters())[0] += 1
    assert made() == before
    with torch.no_grad():
        next(net.stages['detection'].parameters())[0] += 1
    after = made()
    assert [differences(before[name], after[name]) for name in before] == [['weights'], ['weights']]
    config.merge_from_dict({'model.stages.detection.detector.roi_head.bbox_roi_extractor.roi_layer.sampling_ratio': 3})
    assert [differences(after[name], each) for name, each in made().items()] == [['detector'], ['detector']]


def test_a_partial_pass_goes_on_where_it_stopped(toy_root, tmp_path, monkeypatch):
    assert killed(toy_root, tmp_path, phases=PHASES, stage='classification', images=3)
    labelled = count_labelled(monkeypatch)
    train(toy_root, tmp_path, phases=PHASES, resume=True)
    assert len(labelled) == 3
    whole = train(toy_root, tmp_path / 'whole', phases=PHASES)
    mine, expected = (p / 'pseudo_labels/classification.json' for p in (tmp_path, tmp_path / 'whole'))
    assert mine.read_bytes() == expected.read_bytes() and whole
    assert not list((tmp_path / 'pseudo_labels').glob('*.part*'))


def test_the_pass_leaves_training_mode_and_weights_as_they_were(trained):
    before = toy.weights(trained.model)
    trained.model.stages['classification'].labels.weights = 'one'  # other settings: the store is regenerated
    for training in (True, False):
        trained.model.train(training)
        (Path(trained.work_dir) / 'pseudo_labels/classification.json').unlink()
        run_pass(trained)
        assert trained.model.training is training and toy.different(before, toy.weights(trained.model)) == []


@pytest.mark.parametrize('first', [True, False])
def test_all_ranks_read_what_is_there_before_one_writes_and_the_first_merges_when_all_have_ended(tmp_path, monkeypatch, first):
    done = []

    class Writer:
        def labelled(self):
            done.append('read')
            return {'a'}

        def finish(self, image_ids, classes):
            done.append(('merged', image_ids, classes))

    monkeypatch.setattr(label_pass, 'barrier', lambda: done.append('all'))
    monkeypatch.setattr(label_pass, 'is_main_process', lambda: first)
    monkeypatch.setattr(label_pass, 'add_unreadable', lambda writer, dataset, image_ids: done.append('unreadable'))
    monkeypatch.setattr(LabelPass, '_label', lambda self, runner, stage, model, remaining, writer: done.append(remaining))
    maker = LabelPass({}, tmp_path, {})
    maker.dataset = SimpleNamespace(image_ids=['a', 'b'], metainfo=dict(classes=('x',)))
    maker._make(None, 'detection', None, Writer())
    merged = ['unreadable', ('merged', ['a', 'b'], ('x',))] if first else []
    assert done == ['all', 'read', 'all', [1], 'all', *merged, 'all']


def test_no_pseudo_instance_anywhere_warns(trained, monkeypatch):
    said = []
    monkeypatch.setattr(label_pass, 'warn', said.append)
    generator = trained.model.stages['classification'].labels
    generator.weights = 'one'  # other settings: the store is regenerated
    real = generator.label
    generator.__class__ = type('Nothing', (type(generator),), dict(label=lambda self, *told: _without_instances(real(*told))))
    run_pass(trained)
    warned = [message for message in said if 'gives no pseudo instance' in message]
    assert len(warned) == 1 and 'classification' in warned[0] and 'is zero' in warned[0]


def _without_instances(pseudo):
    from mmlabelpenet.structures import pseudo_instances

    return pseudo_instances(pseudo.bboxes[:0], pseudo.labels[:0], pseudo.masks.masks[:0], pseudo.weights[:0])


@pytest.mark.parametrize('consensus', [False, True])
def test_a_store_is_taken_where_the_weights_of_all_its_makers_are_those_of_the_run(consensus):
    model = toy.build(toy.model_config(consensus=consensus))
    header = dict(stage='refinement', weights=makers_hash(model, 'refinement'))
    store = PseudoLabelStore(dict(info=header, images=[], annotations=[], categories=[]))
    check_maker(store, model)
    with torch.no_grad():
        next(model.stages['detection'].parameters())[0] += 1
    if not consensus:
        check_maker(store, model)
        next(model.stages['refinement'].parameters()).data[0] += 1
    with pytest.raises(ValueError, match='generated by the refinement stage of another checkpoint'):
        check_maker(store, model)


def test_a_hash_changes_with_any_weight_and_with_nothing_else():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    first = weights_hash(net)
    assert first == weights_hash(net.eval()) and len(first) == 64
    net[1].num_batches_tracked += 1
    second = weights_hash(net)
    with torch.no_grad():
        net[0].bias[2] += 1e-7
    assert len({first, second, weights_hash(net)}) == 3
    assert weights_hash(torch.nn.ModuleDict(dict(a=net))) != weights_hash(torch.nn.ModuleDict(dict(b=net)))  # tensors have names


@pytest.fixture
def root(toy_root, tmp_path):
    """A copy of the data to be damaged."""
    shutil.copytree(toy_root, tmp_path / 'data/rendered')
    shutil.copy(toy_root.parent / 'train.npz', tmp_path / 'data')
    return tmp_path / 'data/rendered'


def images(root):
    return sorted((root / 'JPEGImages').glob('train_*'))


def test_an_unreadable_image_gets_no_label_where_it_may_be_passed_over_and_stops_the_run_where_not(root, tmp_path):
    images(root)[2].write_bytes(b'')
    runner = train(root, tmp_path / 'run', phases=[('classification', 3), ('detection', 4)], dataset=dict(max_bad_images=1))
    store = PseudoLabelStore.load(f'{runner.work_dir}/pseudo_labels/classification.json')
    assert len(store) == 6 and store.instances(images(root)[2].stem) == [] and len(store.content['annotations']) >= 5
    with pytest.raises(ValueError, match=f'(?s){images(root)[2]} cannot be read.*max_bad_images'):
        train(root, tmp_path / 'again', phases=[('classification', 6)])


@pytest.mark.parametrize('allowed', [1, 2])
def test_what_could_not_be_read_has_the_size_of_its_proposals_where_that_is_known_and_no_label(tmp_path, allowed):
    infos = [dict(img_id='a', img_path='in/a.jpg', proposal_image_size=(3, 4)), dict(img_id='b', img_path='in/b.jpg')]
    writer = PseudoLabelWriter(tmp_path / 'a.json', {})
    label_pass.add_unreadable(writer, SimpleNamespace(max_bad_images=allowed, get_data_info=infos.__getitem__), ['a', 'b'])
    if allowed == 1:
        with pytest.raises(ValueError, match="2 images have no pseudo labels, the first is 'a'"):
            writer.finish(['a', 'b'], ('cat',))
    else:
        store = writer.finish(['a', 'b'], ('cat',))
        assert [store.size(name) for name in 'ab'] == [(3, 4), (0, 0)] and store.num_instances == 0
        assert [image['file_name'] for image in store.content['images']] == ['a.jpg', 'b.jpg'] and not store.file_hashes


def test_training_on_labels_of_images_that_have_changed_is_refused(root, tmp_path):
    phases = [('classification', 2), ('detection', 6)]
    assert killed(root, tmp_path / 'run', phases=phases, hooks=[dict(type='KillAt', iteration=4)])
    for path in images(root):
        cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    with pytest.raises(ValueError, match='has changed since its pseudo labels were generated'):
        train(root, tmp_path / 'run', phases=phases, resume=True)


def test_a_phase_that_is_resumed_on_other_labels_is_refused(toy_root, tmp_path):
    phases = [('classification', 2), ('detection', 6)]
    assert killed(toy_root, tmp_path, phases=phases, hooks=[dict(type='KillAt', iteration=4)])
    path = tmp_path / 'pseudo_labels/classification.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['weight'] /= 2
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='Phase detection was started with other pseudo labels'):
        train(toy_root, tmp_path, phases=phases, resume=True)
    path.unlink()  # the same weights make the same labels again
    assert train(toy_root, tmp_path, phases=phases, resume=True).iter == 8


def test_a_phase_that_is_resumed_with_other_settings_keeps_the_labels_with_which_it_began(toy_root, tmp_path, monkeypatch):
    phases, said = [('classification', 2), ('detection', 6), ('refinement', 1)], []
    whole = train(toy_root, tmp_path / 'whole', phases=phases)
    assert killed(toy_root, tmp_path / 'run', phases=phases, hooks=[dict(type='KillAt', iteration=4)])
    path = tmp_path / 'run/pseudo_labels/classification.json'
    before, labelled = path.read_bytes(), count_labelled(monkeypatch)
    monkeypatch.setattr(label_pass, 'warn', said.append)
    config = toy.run_config(toy_root, tmp_path / 'run', phases)
    config.merge_from_dict(
        {'resume': True, 'model.stages.classification.labels.nms_thr': 0.35, 'label_dataloader.dataset.max_proposals': 9}
    )
    again = toy.build_runner(config)
    again.train()
    assert path.read_bytes() == before and len(labelled) == 6  # only the pass before refinement
    assert [line.split(' was ')[1] for line in said] == [
        'generated with different generator, max_proposals and is still used, since the current phase began with it; the next phase uses '
        'the new settings.'
    ]
    same, other = (run.model.stages['detection'].state_dict() for run in (whole, again))
    assert all(torch.equal(same[name], other[name]) for name in same)
