import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.workbench.exports.formats import WRITERS, write_export
from mmlabelpenet.workbench.exports.images import export_names, place_images


def entry(number, name, size=(20, 30), img_id=None):
    return dict(id=number, img_id=img_id or name.rsplit('.', 1)[0], file_name=name, height=size[0], width=size[1])


def test_names_keep_their_folders_and_no_two_share_a_stem(labels, images):
    names = export_names(labels.images, images)
    assert {'day/0001.jpg', 'night/0001.jpg', 'same.jpg', 'same_png.png', 'upside down.JPG', 'palette.png'} <= set(names.values())
    flat = export_names(labels.images, images, jpeg=True, flat=True)
    assert {'day_0001.jpg', 'night_0001.jpg', 'same_png.jpg', 'Größe ü 9.jpg', 'UPPER.jpg'} <= set(flat.values())


def test_stems_differ_in_more_than_letter_case(tmp_path):
    entries = [entry(k, name) for k, name in enumerate(('A.jpg', 'a.jpg', 'a_jpg.png', 'x/y.jpg', 'x_y.jpg'))]
    names = export_names(entries, None, flat=True)
    assert len({name.rsplit('.', 1)[0].casefold() for name in names.values()}) == 5


def test_a_longer_stem_is_never_that_of_another_image():
    """Labels come back by the names of files: those of a.png must not go to a_png.jpg."""
    for names in (('a.jpg', 'a.png', 'a_png.jpg'), ('a_png.jpg', 'a.png', 'a.jpg'), ('A.jpg', 'a.jpg', 'a_jpg.png', 'a_2.jpg')):
        entries = [entry(k, name) for k, name in enumerate(names)]
        written = export_names(entries, None, flat=True)
        stems = [name.rsplit('.', 1)[0] for name in names]
        for number, name in written.items():
            assert name == names[number] or name.rsplit('.', 1)[0] not in stems
        assert len({name.casefold() for name in written.values()}) == len(names)


def test_no_exported_file_is_hidden():
    entries = [entry(k, name) for k, name in enumerate(('.a.jpg', '.b/c.jpg', 'd/.e.jpg', '_.a.jpg'))]
    assert list(export_names(entries, None).values()) == ['_.a.jpg', '_.b/c.jpg', 'd/_.e.jpg', '_.a_jpg.jpg']
    assert list(export_names(entries, None, flat=True).values()) == ['_.a.jpg', '_.b_c.jpg', 'd_.e.jpg', '_.a_jpg.jpg']


def test_images_are_written_upright_and_plain_ones_byte_for_byte(labels, images, tmp_path):
    names = export_names(labels.images, images)
    place_images(labels.images, images, tmp_path, names)
    for image in labels.images:
        original, copy = images / image['file_name'], tmp_path / names[image['id']]
        with Image.open(copy) as opened:
            assert opened.size == (image['width'], image['height']) and opened.getexif().get(0x0112, 1) == 1
            assert opened.mode == 'RGB' and opened.format == ('PNG' if copy.suffix == '.png' else 'JPEG')
        if any(word in image['file_name'] for word in ('turned', 'upside', 'palette')):
            apart = np.abs(read_rgb(copy).astype(int) - read_rgb(original)).max()
            assert apart <= (0 if copy.suffix == '.png' else 40)
        else:
            assert copy.read_bytes() == original.read_bytes()


def test_a_suffix_that_lies_is_corrected(tmp_path):
    Image.new('RGB', (30, 20)).save(tmp_path / 'really.png')
    (tmp_path / 'really.png').rename(tmp_path / 'a.jpg')
    Image.new('RGB', (30, 20)).save(tmp_path / 'b.webp')
    assert export_names([entry(1, 'a.jpg'), entry(2, 'b.webp')], tmp_path) == {1: 'a.png', 2: 'b.png'}


@pytest.mark.parametrize('kind', WRITERS)
def test_originals_survive_a_program_that_changes_every_exported_file_in_place(labels, images, tmp_path, kind):
    before = {path: path.read_bytes() for path in images.rglob('*') if path.is_file()}
    write_export(kind, labels, tmp_path / 'out', images)
    for path in (tmp_path / 'out').rglob('*'):
        if path.is_file():
            with path.open('r+b') as file:
                file.write(b'repaired')
    assert {path: path.read_bytes() for path in images.rglob('*') if path.is_file()} == before


def test_labels_of_another_size_are_refused(tmp_path):
    Image.new('RGB', (30, 20)).save(tmp_path / 'a.jpg')
    with pytest.raises(ValueError, match='are for 20 x 31 pixels .h x w., .* has 20 x 30'):
        export_names([entry(1, 'a.jpg', (20, 31))], tmp_path)


def test_missing_images_and_two_of_one_name_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="1 of 1 image is not in .*, the first: 'a.jpg'"):
        export_names([entry(1, 'a.jpg')], tmp_path)
    with pytest.raises(ValueError, match='Two images of the store have the same name'):
        export_names([entry(1, 'a.jpg', img_id='x'), entry(2, 'a.jpg', img_id='y')], None)


@pytest.mark.parametrize('name', ['../victim.txt', '/etc/passwd', 'a/../../b.jpg'])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match='not a valid file name inside'):
        export_names([entry(1, name)], tmp_path)


def test_the_folder_of_an_image_may_stand_in_its_id_alone():
    entries = [entry(k, '0001.jpg', img_id=f'{folder}/0001') for k, folder in enumerate(('day', 'night'))]
    assert list(export_names(entries, None).values()) == ['day/0001.jpg', 'night/0001.jpg']


def test_long_names_leave_room_for_the_suffixes_of_labels_and_stay_different():
    names = export_names([entry(k, f'{"n" * 245}{k}.jpg') for k in (10, 11)] + [entry(3, f'{"a" * 150}/{"b" * 150}.jpg')], None, flat=True)
    assert len(set(names.values())) == 3 and all(len(name) <= 250 for name in names.values())
