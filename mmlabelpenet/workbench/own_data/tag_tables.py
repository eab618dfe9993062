"""Image tags in tables: CSV of any dialect and Excel sheets, with tag columns, one line per tag, or one column per class."""

import re
import zipfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from mmlabelpenet.formats.image_names import is_image_name
from mmlabelpenet.formats.tag_files import csv_rows
from mmlabelpenet.schema import counted, read_text, short
from mmlabelpenet.workbench.own_data.entries import Entries, Entry, cell_tags, is_missing

_IMAGE = {
    'image', 'images', 'img', 'file', 'filename', 'filepath', 'path', 'name', 'picture', 'photo',
    'imagename', 'imagefile', 'imagepath', 'imagefilename', 'imageuri', 'imageurl', 'imageid',
}  # fmt: skip
_TAGS = {'tag', 'tags', 'label', 'labels', 'class', 'classes', 'category', 'categories', 'choice', 'choices', 'classname', 'labelname'}
_OTHER = {
    'id', 'index', 'split', 'set', 'subset', 'fold', 'mluse', 'width', 'height', 'depth', 'x', 'y', 'w', 'h', 'xmin', 'ymin', 'xmax',
    'ymax', 'x1', 'y1', 'x2', 'y2', 'bbox', 'area', 'confidence', 'score', 'annotator', 'annotationid', 'createdat', 'updatedat',
    'leadtime', 'date', 'time', 'url', 'source', 'author', 'license', 'comment', 'comments', 'note', 'notes', 'description',
    'truncated', 'difficult', 'occluded', 'isoccluded', 'istruncated', 'isgroupof', 'isdepiction', 'isinside',
}  # fmt: skip
_MAYBE_CLASSES = {'x', 'y', 'w', 'h', 'depth', 'set', 'date', 'time', 'source', 'author', 'license', 'note', 'notes', 'description'}
_YES, _NO = {'1', '1.0', 'true', 'yes', 'x'}, {'0', '0.0', 'false', 'no', '-1'}
_USES = {'train', 'training', 'validation', 'val', 'valid', 'test', 'unassigned'}
_MOST = 1 << 28  # maximum unpacked size of a sheet in bytes

Row = tuple[str, list[str]]  # where it was read, and its cells


def read_csv(path: Path) -> Entries:
    """Tags of a text table; the delimiter is a comma, semicolon or tab.

    Raises:
        ValueError: not UTF-8, quotation marks that do not match, or a table with ambiguous columns or cells.
    """
    text = read_text(path)
    head = next((line for line in text.splitlines() if line.strip()), '')
    delimiter = max(',;\t', key=head.count) if any(sign in head for sign in ',;\t') else ','
    return table_entries(map(partial(_whole_row, path), csv_rows(path, text, delimiter)), str(path))


def _whole_row(path: Path, row: tuple[int, list[str]]) -> Row:
    """A row of a text table; raises ValueError if one of its cells seems to contain further rows."""
    number, cells = row
    for cell in cells:
        swallowed = [part.strip() for part in re.split(r'[;,|\t\r\n]', cell) if is_image_name(part.strip())]
        if swallowed and len(cell.strip().splitlines()) > 1:
            raise ValueError(
                f'Line {number} of {str(path)!r} begins a cell of several lines that contains the image name {short(swallowed[-1])}. '
                'Check its quotation marks.'
            )
    return f'line {number}', cells


def read_xlsx(path: Path) -> Entries:
    """Tags of the first sheet of an Excel file.

    Raises:
        ValueError: not an Excel file, or a sheet with ambiguous columns or cells.
    """
    import openpyxl

    try:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > _MOST:
                raise ValueError(f'it unpacks to more than {_MOST >> 20} MiB')
        sheet = openpyxl.load_workbook(path, read_only=True, data_only=True).worksheets[0]
        rows = [(f'row {number}', [_text(cell) for cell in row]) for number, row in enumerate(sheet.iter_rows(values_only=True), 1)]
    except Exception as error:  # noqa: BLE001 - openpyxl passes on any exception of its parsers
        raise ValueError(f'{str(path)!r} is not a readable Excel file ({str(error)[:80]}). Save it as .xlsx or CSV.') from error
    return table_entries(rows, str(path))


def _text(cell: object) -> str:
    return '' if cell is None else str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def table_entries(rows: Iterable[Row], path: str) -> Entries:
    """Entries of a table.

    The header names the columns; without one, as in AutoML tables, the first column of images is followed by tags.

    Args:
        rows: rows, starting with the header.
        path: for messages.

    Raises:
        ValueError: the columns are ambiguous, or a row does not match them.
    """
    filled = ((where, row) for where, row in rows if any(cell.strip() for cell in row))
    first = next(filled, None)
    if first is None:
        raise ValueError(f"Expected a header with the columns 'image' and 'tags' in {path!r}, but the table is empty.")
    where, header = first
    names = [re.sub(r'[\W_]+', '', cell.casefold()) for cell in header]
    image = next((k for k, name in enumerate(names) if name in _IMAGE), None)
    if image is None:
        return Entries(_headless([first, *filled], header, path))
    tags = [k for k, name in enumerate(names) if re.sub(r'\d+$', '', name) in _TAGS]
    others = [k for k, name in enumerate(names) if k != image and k not in tags and name not in _OTHER]
    if tags:
        return Entries(_by_tags(filled, header, image, tags, others, path))
    if others and all(header[k].strip() for k in others):
        rows = list(filled)
        for k in (k for k, name in enumerate(names) if name in _MAYBE_CLASSES and k != image):
            cells = {row[k].strip().casefold() for _, row in rows if len(row) > k} - {''}
            if cells and cells <= _YES | _NO:
                raise ValueError(
                    f'Column {short(header[k])} of {path!r} contains 0 and 1 like class columns, but its name is one that '
                    f'other programs use for something else. Name it "class {header[k].strip()}", or remove it.'
                )
        return Entries(_one_hot(rows, header, image, others, path), [header[k] for k in others])
    raise ValueError(f"Expected a header with the columns 'image' and 'tags' in {path!r}, got {short(header, 120)}.")


def _by_tags(
    rows: Iterable[Row], header: Sequence[str], image: int, tags: Sequence[int], others: Sequence[int], path: str
) -> Iterable[Entry]:  # fmt: skip
    last = tags[-1] == len(header) - 1
    for where, row in rows:
        row = row + [''] * (len(header) - len(row))
        for k in others:
            if not is_missing(row[k]) and not _is_number(row[k]):
                raise ValueError(
                    f'Column {short(header[k])} of {path!r} contains {short(row[k], 40)}, and its name does not '
                    'indicate whether that is a tag. '
                    "Name the column 'tags 2', or remove it."
                )
        if len(row) > len(header) and not last:
            raise ValueError(f'{where[0].upper()}{where[1:]} of {path!r} has {counted(len(row), "cell")}, the header {len(header)}.')
        cells = [row[k] for k in tags] + row[len(header) :]  # tags may spill over into further cells
        place = f'{where[0].upper()}{where[1:]} of {path!r}'
        yield Entry(_image(row[image], place), tuple(tag for cell in cells for tag in cell_tags(cell, place)), where)


def _one_hot(rows: Iterable[Row], header: Sequence[str], image: int, classes: Sequence[int], path: str) -> Iterable[Entry]:
    for where, row in rows:
        row = row + [''] * (len(header) - len(row))
        for k in classes:
            if row[k].strip().casefold() not in _YES | _NO and not is_missing(row[k]):
                raise ValueError(
                    f"Expected a header with the columns 'image' and 'tags' in {path!r}, or with a column of 0 and 1 per class; "
                    f'column {short(header[k], 40)} contains {short(row[k], 40)} ({where}).'
                )
        found = tuple(header[k].strip() for k in classes if row[k].strip().casefold() in _YES)
        yield Entry(_image(row[image], f'{where[0].upper()}{where[1:]} of {path!r}'), found, where)


def _headless(rows: Iterable[Row], header: Sequence[str], path: str) -> Iterable[Entry]:
    column = next((k for k, cell in enumerate(header[:2]) if is_image_name(cell.strip())), None)
    if column is None or (column == 1 and header[0].strip().casefold() not in _USES):
        raise ValueError(f"Expected a header with the columns 'image' and 'tags' in {path!r}, got {short(header, 120)}.")
    for where, row in rows:
        place = f'{where[0].upper()}{where[1:]} of {path!r}'
        label, *more = row[column + 1 :] or ['']
        if strange := [cell for cell in more if _is_number(cell) and not 0 <= float(cell) <= 1]:  # AutoML's boxes are relative coordinates
            raise ValueError(f'{place} contains the number {strange[0].strip()}: is it a tag? Add the header image,tags to the table.')
        found = tuple(tag for cell in (label, *(cell for cell in more if not _is_number(cell))) for tag in cell_tags(cell, place))
        yield Entry(_image(row[column] if len(row) > column else '', place), found, where)


def _image(cell: str, place: str) -> str:
    if is_missing(cell):
        raise ValueError(f'{place} has no image name.')
    return cell.strip()


def _is_number(text: str) -> bool:
    try:
        float(text.strip() or 'x')
    except ValueError:
        return False
    return True
