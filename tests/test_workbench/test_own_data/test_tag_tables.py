import pytest

from mmlabelpenet.workbench.own_data.tags import read_entries


def write(tmp_path, text, name='tags.csv', encoding='utf-8'):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path / name


def pairs(entries):
    return [(entry.image, [tag.strip() for tag in entry.tags if tag.strip()]) for entry in entries]


@pytest.mark.parametrize(
    'text',
    [
        'image,tags\na.jpg,cat;dog\nb.jpg,\n',
        'image,tags\r\na.jpg,"cat,dog"\r\nb.jpg,\r\n',
        'Image ; Tags\na.jpg;cat|dog\nb.jpg;\n',
        'filename\tlabels\na.jpg\tcat;dog\nb.jpg\t\n',
        'id,image,tags\n1,a.jpg,cat;dog\n2,b.jpg,\n',
        'tags,image\n"cat, dog",a.jpg\n,b.jpg\n',
        'image,tags\na.jpg,cat,dog\nb.jpg\n',
        '\nimage,tags\n\n  a.jpg ,  cat ;  dog\n b.jpg, \n\n',
    ],
)
def test_csv_of_any_dialect_means_the_same(tmp_path, text):
    assert [(image.strip(), tags) for image, tags in pairs(read_entries(write(tmp_path, text)))] == [
        ('a.jpg', ['cat', 'dog']),
        ('b.jpg', []),
    ]


def test_a_cell_may_have_line_breaks_lists_and_no_value(tmp_path):
    text = (
        'image,tags\na.jpg,"cat\ndog"\nb.jpg,"[\'cat\', \'dog\']"\nc.jpg,"[""cat"", ""dog""]"\nd.jpg,NaN\ne.jpg,None\nf.jpg,[]\n'
        'g.jpg,"{""choices"": [""cat"", ""dog""]}"\nh.jpg,"\'cat\'; dog"\ni.jpg,"cat\r\ndog"\nj.jpg,"""salt; pepper"";cat"\n'
    )
    found = dict(pairs(read_entries(write(tmp_path, text))))
    both = ['cat', 'dog']
    assert found == {
        'a.jpg': both, 'b.jpg': both, 'c.jpg': both, 'd.jpg': [], 'e.jpg': [], 'f.jpg': [], 'g.jpg': both, 'h.jpg': ["'cat'", 'dog'],
        'i.jpg': both, 'j.jpg': ['salt; pepper', 'cat'],
    }  # fmt: skip


@pytest.mark.parametrize(
    'text',
    [
        'image,tag1,tag2\na.jpg,cat,dog\nb.jpg,,\n',
        'image,tag,tag,tag\na.jpg,cat,,dog\nb.jpg,,,\n',
        'image,label,label.1\na.jpg,cat,dog\nb.jpg,nan,nan\n',
        ',image,tags,width\n0,a.jpg,cat;dog,40\n1,b.jpg,,50\n',
        'set,image,label_1,label_2\nTRAIN,a.jpg,cat,dog\nTEST,b.jpg,,\n',
        'image,cat,dog,bird\na.jpg,1,1,0\nb.jpg,0,0,0\n',
        'image;cat;dog;bird\na.jpg;True;x;False\nb.jpg;;;\n',
        'a.jpg,cat,dog\nb.jpg\n',
        'TRAIN,a.jpg,cat,0.1,0.2,,,0.5,0.6,,\nTRAIN,a.jpg,dog,0.1,0.2,,,0.5,0.6,,\nTEST,b.jpg,,,,,,,,,\n',
        'image,id,choice,annotator,annotation_id,created_at,updated_at,lead_time\n'
        'a.jpg,1,"{""choices"":[""cat"",""dog""]}",1,1,2024-01-01T00:00:00Z,2024-01-01,3.5\nb.jpg,2,,1,2,x,y,1\n',
    ],
)
def test_columns_of_tags_of_classes_and_of_other_things_are_told_apart(tmp_path, text):
    found = {}
    for image, tags in pairs(read_entries(write(tmp_path, text))):
        found.setdefault(image, []).extend(tags)
    assert found == {'a.jpg': ['cat', 'dog'], 'b.jpg': []}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('image,tags,species\na.jpg,cat,felis\n', "Column 'species' of .* contains 'felis', and its name does not indicate"),
        ('image,cat,note\na.jpg,1,0\nb.jpg,,1\n', r"Column 'note' of .* contains 0 and 1 .* Name it \"class note\", or remove it"),
        ('image,cat,dog\na.jpg,1,maybe\n', "or with a column of 0 and 1 per class; column 'dog' contains 'maybe' .line 2."),
        ('image,tags,width\na.jpg,cat,3,dog\n', 'Line 2 of .* has 4 cells, the header 3'),
        ('image,tags\na.jpg,"[cat, dog"\n', 'Line 2 of .* starts like a list but is not one'),
        ('image,tags\nnan,cat\n', 'Line 2 of .* has no image name'),
        (
            'image,tags\na.jpg,cat\nb.jpg,"dog\nc.jpg,cat\n',
            'Line 3 of .* is not readable as CSV: unexpected end of data. Check its quotation',
        ),
        ('image,tags\na.jpg,"dog\nc.jpg,"cat"\n', 'Line 2 of .* is not readable as CSV: .* Check its quotation'),
        ('image,tags\na.jpg,cat\nb.jpg,"dog\nc.jpg,cat\n",x\n', "Line 3 of .* a cell of several lines that contains .* 'c.jpg'. Check"),
        ('image,tags\n"a.jpg\nb.jpg",cat\n', "Line 2 of .* a cell of several lines that contains the image name 'b.jpg'. Check"),
        ('image,tags,width\na.jpg,"cat\ndog",3\nb.jpg,cat,3,dog\n', 'Line 4 of .* has 4 cells, the header 3'),
        ('image,tags,width\na.jpg,"cat\ndog",3,dog\n', 'Line 2 of .* has 4 cells, the header 3'),
        ('cat,dog\nx,y\n', "columns 'image' and 'tags'"),
    ],
)
def test_a_table_that_does_not_tell_what_it_means_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_entries(write(tmp_path, text))


def test_excel_sheets_are_tables(tmp_path):
    openpyxl = pytest.importorskip('openpyxl')
    book = openpyxl.Workbook()
    for row in (('Image', 'Tags', 'Tag 2', 'id'), ('a.jpg', 'cat\ndog', None, 1), ('b.jpg', None, None, 2), (None,) * 4, (7, 'cat', 3, 4)):
        book.active.append(row)
    book.save(tmp_path / 'tags.xlsx')
    assert pairs(read_entries(tmp_path / 'tags.xlsx')) == [('a.jpg', ['cat', 'dog']), ('b.jpg', []), ('7', ['cat', '3'])]
    with pytest.raises(ValueError, match='Save it as .xlsx or CSV'):
        read_entries(write(tmp_path, 'x', 'tags.xls'))


def test_what_pandas_writes_is_read(tmp_path):
    pandas = pytest.importorskip('pandas')
    table = pandas.DataFrame(dict(image=['a.jpg', 'b.jpg'], tags=[['cat', 'dog'], float('nan')]))
    table.to_csv(tmp_path / 'with index.csv')
    table.to_csv(tmp_path / 'tags.csv', index=False)
    table.to_excel(tmp_path / 'tags.xlsx')
    table.to_json(tmp_path / 'tags.json', orient='records')
    pandas.DataFrame(dict(cat=[1, 0], dog=[True, False]), index=pandas.Index(['a.jpg', 'b.jpg'], name='image')).to_csv(tmp_path / 'hot.csv')
    for path in tmp_path.iterdir():
        assert pairs(read_entries(path)) == [('a.jpg', ['cat', 'dog']), ('b.jpg', [])], path.name


def test_a_number_behind_an_image_is_its_tag_and_any_other_must_be_of_a_box(tmp_path):
    assert pairs(read_entries(write(tmp_path, 'a.jpg,7\nb.jpg,10\n'))) == [('a.jpg', ['7']), ('b.jpg', ['10'])]
    assert pairs(read_entries(write(tmp_path, 'a.jpg,7,0.25,1.0\nb.jpg\n'))) == [('a.jpg', ['7']), ('b.jpg', [])]
    with pytest.raises(ValueError, match='Line 2 of .* contains the number 10: is it a tag'):
        read_entries(write(tmp_path, 'a.jpg,cat\nb.jpg,dog,10\n'))
