import json

import pytest
from PIL import Image

from mmlabelpenet.commands import export as tool
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.workbench.exports.formats import WRITERS, write_export
from mmlabelpenet.workbench.exports.labels import choose_labels


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('kind', WRITERS)
def test_an_earlier_export_is_replaced_and_nothing_else(labels, images, tmp_path, kind):
    out = tmp_path / 'out'
    write_export(kind, labels, out, images, **({} if kind == 'labelme' else dict(val_share=0.3)))
    (out / 'diary.txt').write_text('mine')
    write_export(kind, labels, out, images)
    write_export(kind, labels, tmp_path / 'fresh', images)
    assert (out / 'diary.txt').read_text() == 'mine'
    (out / 'diary.txt').unlink()
    assert {path.relative_to(out): data for path, data in files(out).items()} == {
        path.relative_to(tmp_path / 'fresh'): data for path, data in files(tmp_path / 'fresh').items()
    }


@pytest.mark.parametrize(
    ('kind', 'name'), [('coco', 'train.json'), ('yolo', 'data.yaml'), ('voc', 'ImageSets/Main/train.txt'), ('labelme', 'plain.json')]
)
def test_data_sets_of_others_stay_as_they_are(labels, images, tmp_path, kind, name):
    (tmp_path / 'out' / name).parent.mkdir(parents=True)
    (tmp_path / 'out' / name).write_text('mine')
    (tmp_path / 'out/photo.jpg').write_text('mine')
    before = files(tmp_path / 'out')
    with pytest.raises(FileExistsError, match='was not written by an earlier run'):
        write_export(kind, labels, tmp_path / 'out', images)
    assert files(tmp_path / 'out') == before and [path.name for path in tmp_path.iterdir()] == ['out']


def test_labelme_files_corrected_by_hand_are_kept(labels, images, tmp_path):
    write_export('labelme', labels, tmp_path / 'out', images)
    path = tmp_path / 'out/plain.json'
    path.write_text(path.read_text().replace('"cat"', '"dog"'))
    corrected = path.read_text()
    assert write_export('labelme', labels, tmp_path / 'out', images) == ['plain.json']
    assert path.read_text() == corrected


@pytest.mark.parametrize('kind', WRITERS)
def test_a_failed_export_leaves_the_earlier_one(labels, images, tmp_path, kind):
    write_export(kind, labels, tmp_path / 'out', images)
    before = files(tmp_path / 'out')
    with pytest.raises(FileNotFoundError, match='16 of 16 images are not in'):
        write_export(kind, labels, tmp_path / 'out', tmp_path)
    assert files(tmp_path / 'out') == before


@pytest.mark.parametrize('kind', WRITERS)
def test_images_of_a_store_without_file_names_are_found_by_their_ids(tmp_path, kind):
    for place, change in ((tmp_path / 'a', {}), (tmp_path / 'b', dict(file_name=None))):
        place.mkdir()
        image = dict(id=1, img_id='day/a', file_name='day/a.JPG', height=20, width=30) | change
        note = dict(id=1, image_id=1, category_id=1, bbox=[2, 3, 9, 9], weight=0.5, segmentation=[[2, 3, 11, 3, 11, 12, 2, 12]])
        store = PseudoLabelStore(dict(info={}, images=[image], annotations=[note], categories=[dict(id=1, name='cat')]))
        (place / 'in/day').mkdir(parents=True)
        Image.new('RGB', (30, 20)).save(place / 'in/day/a.JPG', 'JPEG')
        write_export(kind, choose_labels(store), place / 'out', place / 'in')
    assert {path.relative_to(tmp_path / 'a'): data for path, data in files(tmp_path / 'a/out').items()} == {
        path.relative_to(tmp_path / 'b'): data for path, data in files(tmp_path / 'b/out').items()
    }
    Image.new('RGB', (30, 20)).save(tmp_path / 'b/in/day/a.png')
    with pytest.raises(FileNotFoundError, match="^1 of 1 image is not in .*, the first: 'day/a'"):
        write_export(kind, choose_labels(store), tmp_path / 'c', tmp_path / 'b/in')


@pytest.mark.parametrize('kind', WRITERS)
def test_the_tool_writes_every_format_and_says_what_it_left_out(store, images, tmp_path, capsys, kind):
    (tmp_path / 'store.json').write_text(json.dumps(store.content))
    words = tmp_path / 'store.json', '--format', kind, '--images', images, '--out', tmp_path / 'out', '--min-weight', '0.65'
    command = list(map(str, words))
    tool.main(command)
    tool.main([*command, *(['--masks', 'polygon'] if kind in ('coco', 'labelme') else [])])
    printed = capsys.readouterr().out
    assert 'instances of 4 classes in 1' in printed and 'without labels' in printed and str(tmp_path / 'out') in printed


def test_the_tool_refuses_folders_and_options_that_do_not_fit(images):
    for more in (
        ['--images', str(images), '--out', str(images)],
        ['--out', 'x'],
        ['--images', str(images), '--out', 'x', '--masks', 'polygon'],
        ['--images', str(images), '--out', 'x', '--val-share', '1'],
    ):
        with pytest.raises(SystemExit):
            tool.main(['s.json', '--format', 'voc', *more])


def test_the_tool_knows_the_formats_of_the_package():
    assert tool.FORMATS == tuple(WRITERS)
