import os

import cv2
import numpy as np
import pytest
from fuzzing import png
from PIL import Image

from mmlabelpenet.datasets.transforms import LoadImageFromFile
from mmlabelpenet.formats.images import (
    image_size,
    is_plain,
    is_transparent,
    list_images,
    misnamed_images,
    read_image,
    read_indices,
    read_rgb,
    shrink,
    unusable,
)
from mmlabelpenet.workbench.exports.images import jpeg_bytes


@pytest.fixture
def scene():
    """Smooth colours, brighter to the right and red at the top, so that a turned image shows."""
    image = np.zeros((60, 90, 3), np.uint8)
    image[..., 1] = np.linspace(0, 250, 90)[None]
    image[:20, :, 0] = 250
    return image


def near(image, expected, limit=6):
    return image.shape == expected.shape and image.dtype == np.uint8 and abs(image.astype(int) - expected).mean() < limit


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'tif', 'webp'])
def test_usual_formats_are_read(tmp_path, scene, suffix):
    Image.fromarray(scene).save(tmp_path / f'a.{suffix}', quality=95)
    assert near(read_rgb(tmp_path / f'a.{suffix}'), scene)


def test_plain_files_give_the_pixels_that_training_reads(tmp_path, scene):
    (tmp_path / 'a.jpg').write_bytes(jpeg_bytes(scene))
    assert is_plain(tmp_path / 'a.jpg')
    assert np.array_equal(read_rgb(tmp_path / 'a.jpg'), cv2.imread(str(tmp_path / 'a.jpg'))[..., ::-1])


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.tif', 'a.webp'])
@pytest.mark.parametrize('orientation', range(9))
def test_images_are_turned_upright(tmp_path, scene, orientation, name):
    turns = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM}
    turns |= {5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}
    stored = Image.fromarray(scene)
    stored = stored.transpose(turns[orientation]) if orientation in turns else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / name, exif=exif, quality=95)
    assert near(read_rgb(tmp_path / name), scene) and near(read_image(tmp_path / name)[..., ::-1], scene)
    assert image_size(tmp_path / name) == scene.shape[:2]
    assert is_plain(tmp_path / name) == (orientation < 2 and name in ('a.jpg', 'a.png'))


def test_grey_images_have_three_equal_channels(tmp_path, scene):
    Image.fromarray(scene).convert('L').save(tmp_path / 'a.png')
    image = read_rgb(tmp_path / 'a.png')
    assert is_plain(tmp_path / 'a.png')
    assert (image == image[..., :1]).all()


def test_cmyk_images_keep_their_colours(tmp_path, scene):
    Image.fromarray(scene).convert('CMYK').save(tmp_path / 'a.jpg', quality=95)
    assert not is_plain(tmp_path / 'a.jpg')
    assert near(read_rgb(tmp_path / 'a.jpg'), scene)


@pytest.mark.parametrize('channels', [1, 3])
def test_16_bits_lose_their_lower_byte(tmp_path, scene, channels):
    deep = scene[..., 1] if channels == 1 else scene
    cv2.imwrite(str(tmp_path / 'a.png'), np.ascontiguousarray(deep[..., ::-1] if channels == 3 else deep).astype(np.uint16) * 257)
    assert not is_plain(tmp_path / 'a.png')
    expected = np.repeat(scene[..., 1:2], 3, 2) if channels == 1 else scene
    assert near(read_rgb(tmp_path / 'a.png'), expected, 1)


def test_16_bits_are_read_from_the_least_value_to_the_highest(tmp_path):
    values = np.full((20, 30), 65535, np.uint16)
    values[:10] = 0
    cv2.imwrite(str(tmp_path / 'a.png'), values)
    assert np.array_equal(read_rgb(tmp_path / 'a.png')[..., 0], values >> 8)
    Image.fromarray(values.astype(np.int32) + 1).save(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match='its values range from 1 to 65536'):
        read_rgb(tmp_path / 'a.tif')


def test_palettes_are_looked_up(tmp_path, scene):
    Image.fromarray(scene).quantize(64).save(tmp_path / 'a.png')
    assert not is_plain(tmp_path / 'a.png')
    assert near(read_rgb(tmp_path / 'a.png'), scene, 12)


@pytest.mark.parametrize(('suffix', 'mode'), [('png', 'RGBA'), ('png', 'LA'), ('png', 'P'), ('gif', 'RGBA'), ('webp', 'RGBA')])
def test_transparent_places_become_white_for_every_reader(tmp_path, suffix, mode):
    path, layer = tmp_path / f'a.{suffix}', Image.new('RGBA', (40, 30), (200, 200, 200, 255))
    layer.paste((90, 90, 90, 0), (0, 0, 20, 30))
    layer = layer.convert(mode)
    layer.save(path, lossless=True, **(dict(transparency=layer.getpixel((0, 0))) if mode == 'P' else {}))
    readers = [read_rgb, read_image, lambda path: LoadImageFromFile(to_float32=True)(dict(img_path=str(path)))['img']]
    for image in (reader(path) for reader in readers):
        assert image.shape == (30, 40, 3)
        assert (image[:, :20] == 255).all() and (image[:, 20:] == 200).all()


@pytest.mark.parametrize('name', ['größe ü.jpg', '写真 1.jpg', 'фото.png', 'a b\u0301.png'])
def test_names_in_any_script_are_read(tmp_path, scene, name):
    Image.fromarray(scene).save(tmp_path / name)
    assert near(read_rgb(tmp_path / name), scene, 12)
    assert list_images(tmp_path) == [tmp_path / name]


def test_one_pixel_is_an_error_that_tells_the_least_size(tmp_path):
    Image.new('RGB', (1, 1)).save(tmp_path / 'dot.png')
    with pytest.raises(ValueError, match=r"dot.png' has 1 x 1 pixels .* at least 16"):
        read_rgb(tmp_path / 'dot.png')


def test_readers_that_need_no_least_size_read_one_pixel(tmp_path):
    Image.new('RGBA', (1, 1), (7, 8, 9, 255)).save(tmp_path / 'a', 'PNG')
    Image.new('L', (1, 1), 5).save(tmp_path / 'b.png')
    assert read_image(tmp_path / 'a').tolist() == [[[9, 8, 7]]] and is_transparent(tmp_path / 'a')
    assert misnamed_images(tmp_path) == [tmp_path / 'a']
    assert read_indices(tmp_path / 'b.png').tolist() == [[5]] and read_image(tmp_path / 'b.png').tolist() == [[[5, 5, 5]]]


def test_an_image_of_108_megapixels_is_read_and_reduced(tmp_path):
    Image.new('L', (12000, 9000), 120).save(tmp_path / 'huge.png', compress_level=1)
    image = read_rgb(tmp_path / 'huge.png', max_side=1600)
    assert image.shape == (1200, 1600, 3)
    assert (image == 120).all()


@pytest.mark.parametrize('size', [(17800, 10001), (17900, 10000), (60000, 60000)])
def test_more_than_178_megapixels_are_an_error_that_tells_the_limit(tmp_path, size):
    (tmp_path / 'vast.png').write_bytes(png(*size, 2))
    for read in (read_rgb, read_image, image_size):
        with pytest.raises(ValueError, match=r'vast.png. (has \d+ x \d+ pixels .* at most 178 mega|is not readable \(Image size)'):
            read(tmp_path / 'vast.png')


def test_the_least_and_the_largest_size_are_still_images(tmp_path):
    content = bytearray(jpeg_bytes(np.zeros((20, 20, 3), np.uint8)))
    place = content.index(b'\xff\xc0') + 5  # of height and width
    content[place : place + 4] = (10_000).to_bytes(2, 'big') + (17_800).to_bytes(2, 'big')
    (tmp_path / 'large.jpg').write_bytes(content)
    assert image_size(tmp_path / 'large.jpg') == (10_000, 17_800)
    Image.new('RGB', (16, 16)).save(tmp_path / 'small.png')
    assert read_rgb(tmp_path / 'small.png').shape == (16, 16, 3)


@pytest.mark.parametrize('size', [(1601, 16), (16, 2000), (65_501, 700)])
def test_an_image_too_long_for_the_network_or_for_jpeg_is_an_error_that_tells_the_limits(tmp_path, size):
    Image.new('L', size).save(tmp_path / 'long.png')
    with pytest.raises(
        ValueError, match='long.png. has .* at least 16 pixels per side and .*, 65,500 pixels per side and 100 times the short'
    ):
        read_rgb(tmp_path / 'long.png')
    assert image_size(tmp_path / 'long.png', min_side=1) == size[::-1]


@pytest.mark.parametrize('content', [b'', b'no image', b'\xff\xd8\xff\xe0 broken'])
def test_what_is_no_image_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / 'bad.jpg').write_bytes(content)
    with pytest.raises(ValueError, match='bad.jpg'):
        read_rgb(tmp_path / 'bad.jpg')
    assert list(unusable([tmp_path / 'bad.jpg'])) == [tmp_path / 'bad.jpg']


def test_an_image_cut_short_is_an_error_or_keeps_its_size(tmp_path, scene):
    whole = jpeg_bytes(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    (tmp_path / 'cut.jpg').write_bytes(whole[: len(whole) // 8])
    try:
        assert read_rgb(tmp_path / 'cut.jpg').shape == (200, 300, 3)
    except ValueError as error:
        assert 'cut.jpg' in str(error)


def test_a_png_cut_short_is_an_error(tmp_path, scene):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)).save(tmp_path / 'a.png')
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'a.png').read_bytes()[:9000])
    with pytest.raises(ValueError, match='cut.png'):
        read_rgb(tmp_path / 'cut.png')


def test_a_folder_is_listed_with_its_subfolders_and_without_hidden_files(tmp_path, scene):
    for name in ('b.JPG', 'sub/a.png', '.hidden.png', '.cache/c.png', 'notes.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(scene).save(tmp_path / name, 'PNG')
    assert list_images(tmp_path) == [tmp_path / 'b.JPG', tmp_path / 'sub/a.png']


def test_images_under_other_names_are_found(tmp_path, scene):
    for name in ('a.dat', 'in/b', 'c.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(scene).save(tmp_path / name, 'PNG')
    (tmp_path / 'd.txt').write_text('no image')
    assert misnamed_images(tmp_path) == [tmp_path / 'a.dat', tmp_path / 'in/b']


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='contains no image'):
        list_images(tmp_path)
    with pytest.raises(FileNotFoundError, match='there is none'):
        list_images(tmp_path / os.urandom(4).hex())


def test_small_images_are_not_enlarged(scene):
    assert all(np.array_equal(shrink(scene, side), scene) for side in (90, 120, 500))
    assert shrink(scene, 45).shape == (30, 45, 3)
    assert shrink(scene[:20], 45).shape == (16, 72, 3) and shrink(scene[:8], 45).shape == (8, 90, 3)


def damaged_files():
    """Sound and damaged files by name: cut, filled with zeros, with more behind the end, empty."""
    values = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    for suffix in ('.jpg', '.png'):
        whole = cv2.imencode(suffix, values)[1].tobytes()
        yield f'whole{suffix}', whole
        yield f'more{suffix}', whole + b'more'
        for share in (0, 0.1, 0.3, 0.5, 0.9, 0.999):
            end = int(len(whole) * share)
            yield f'cut{share}{suffix}', whole[:end]
            yield f'zeros{share}{suffix}', whole[:end] + bytes(len(whole) - end)


@pytest.mark.parametrize(('name', 'content'), list(damaged_files()), ids=lambda value: value if isinstance(value, str) else '')
def test_whoever_reads_an_image_comes_to_one_judgement_of_it(tmp_path, name, content):
    """Those who check a data set, search proposals, train and predict."""
    path = tmp_path / name
    path.write_bytes(content)

    def reads(function):
        try:
            function()
        except (ValueError, AssertionError, cv2.error):  # the last two of mmcv, which VOCTags reports
            return False
        return True

    kept = []
    judgements = {
        'init': not unusable([path]),
        'predict': reads(lambda: read_rgb(path)),
        'search': reads(lambda: read_image(path)),
        'training': reads(lambda: kept.append(LoadImageFromFile()(dict(img_path=str(path)))['img'])),
    }
    assert len(set(judgements.values())) == 1, judgements
    if kept:
        assert np.array_equal(kept[0], read_image(path)) and np.array_equal(kept[0][..., ::-1], read_rgb(path))
