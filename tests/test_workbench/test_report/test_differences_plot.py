"""The figure of differences."""

from xml.etree import ElementTree

from mmlabelpenet.workbench.experiments.differences import LAST
from mmlabelpenet.workbench.report import differences_plot
from mmlabelpenet.workbench.report.differences_plot import plot_differences


def comparison(**means):
    """A base and configs that differ from it by so much in mIoU; None: not compared."""
    changes = {
        name: None if mean is None else dict(mean=mean, std=0.5, count=2, paired=True, values={'0': mean - 0.5, '1': mean + 0.5})
        for name, mean in means.items()
    }
    entries = [dict(name=name, stages={LAST: {'mIoU': dict(mean=50.0, difference=change)}}) for name, change in changes.items()]
    base = dict(name='base', stages={LAST: {'mIoU': dict(mean=50.0, difference=dict(mean=0.0, std=0.0, values={'0': 0.0}))}})
    return dict(base='base', metrics=['mIoU', 'CorLoc_50'], configs=[base, *entries])


def test_the_figure_is_whole_and_the_same_every_time(tmp_path):
    paths = [plot_differences(comparison(better=2.0, worse=-3.0), tmp_path / f'{k}.svg') for k in (1, 2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert ElementTree.parse(paths[0]).getroot().tag.endswith('svg')
    assert plot_differences(comparison(better=2.0), tmp_path / 'a.png').read_bytes().startswith(b'\x89PNG')


def test_each_config_has_its_line_and_each_seed_its_mark(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(differences_plot, 'save_figure', lambda figure, out: figures.append(figure))
    plot_differences(comparison(better=2.0, unknown=None, worse=-3.0), tmp_path / 'a.svg')
    (panel,) = figures[0].axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ['better', 'worse'] and panel.get_title() == 'mIoU'
    marks = [list(line.get_xdata()) for line in panel.lines if line.get_marker() == '|' and len(line.get_xdata()) == 2]
    assert [1.5, 2.5] in marks and [-3.5, -2.5] in marks
    means = {round(float(line.get_xdata()[0]), 3): line.get_color() for line in panel.lines if line.get_marker() == 'o'}
    assert means == {2.0: 'C2', -3.0: 'C3'}


def test_without_a_difference_there_is_no_figure(tmp_path):
    assert plot_differences(comparison(), tmp_path / 'a.svg') is None and not list(tmp_path.iterdir())
