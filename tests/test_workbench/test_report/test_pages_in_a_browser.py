"""Pages as people see them, in headless Chromium.

Images of the docs are made by the same tests, from a finished training:
``pytest -m browser --screenshots docs/images --work-dir work_dirs/quickstart``.
"""

import base64
import importlib.util
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from page_checks import ATTACK, CLASSES, IMAGE

from mmlabelpenet.workbench.report.browser import write_browser_page
from mmlabelpenet.workbench.report.page import hex_colours
from mmlabelpenet.workbench.report.report import write_report

pytestmark = pytest.mark.browser
TOOL = Path(__file__).resolve().parents[3] / 'tools/analysis_tools/browse_pseudo_labels.py'
PAGES = ['report', 'labels', 'trace']


class Page:
    """A page in the browser, to be looked at and used."""

    def __init__(self, browser, path, size=(1400, 900), place=''):
        width, height = size
        metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
        browser.get('about:blank')
        browser.get_log('browser')
        browser.get(path.as_uri() + place)
        self.browser = browser

    def run(self, code, *arguments):
        return self.browser.execute_script(code, *arguments)

    def find(self, selector):
        return self.browser.find_elements('css selector', selector)

    def press(self, *keys):
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            self.browser.switch_to.active_element.send_keys(getattr(Keys, key, key))

    def choose(self, name, text):
        from selenium.webdriver.support.select import Select

        Select(self.find(f'#{name}')[0]).select_by_visible_text(text)

    def write(self, name, text):
        field = self.find(f'#{name}')[0]
        field.clear()
        field.send_keys(text)

    def text(self, selector):
        return self.find(selector)[0].text

    @property
    def shown(self):
        return self.run("return [...document.querySelectorAll('#grid figure')].map(figure => figure.dataset.name)")

    @property
    def chosen(self):
        return self.run("return document.querySelector('#grid figure.on').dataset.name")

    @property
    def meta(self):
        return self.run("return JSON.parse(document.getElementById('meta').textContent)")

    @property
    def too_wide(self):
        return self.run('return document.documentElement.scrollWidth - innerWidth') > 0

    def messages(self):
        return [entry for entry in self.browser.get_log('browser') if 'favicon' not in entry['message']]

    def screenshot(self):
        return cv2.imdecode(np.frombuffer(self.browser.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize('width', [1400, 390])
@pytest.mark.parametrize('name', PAGES)
def test_pages_fit_the_screen_and_the_console_stays_empty(browser, plain_pages, name, width):
    page = Page(browser, plain_pages[name], (width, 844))
    assert not page.too_wide
    assert page.run("return [...document.images].every(image => image.loading === 'lazy' || image.naturalWidth > 0)")
    assert page.messages() == []


@pytest.mark.parametrize('name', PAGES)
def test_names_are_seen_as_text_and_run_nothing(browser, hostile_pages, name):
    page = Page(browser, hostile_pages[name])
    title = browser.title
    if name == 'labels':
        assert [option.text for option in page.find('#class option')][1:] == [' '.join(text.split()) for text in CLASSES]
        page.press('ENTER')
        assert IMAGE in page.text('#one h2')
    else:
        assert ATTACK in page.run('return document.body.textContent') and IMAGE in page.text('main')
    assert page.messages() == [] and browser.title == title != 'run' and page.run("return document.querySelector('img[onerror]')") is None


def test_scripts_that_are_not_ours_are_blocked(browser, labels_page, tmp_path):
    path = tmp_path / 'page.html'
    path.write_text(labels_page.read_text(encoding='utf-8').replace('</body>', "<script>document.title = 'run'</script></body>"))
    page = Page(browser, path)
    assert browser.title == 'Pseudo labels' and len(page.messages()) == 1 and len(page.shown) == 6


def test_labels_are_sorted_and_filtered(browser, labels_page):
    page = Page(browser, labels_page)
    images = {image['n']: image for image in page.meta['images']}
    last = {name: [i for i in image['i'] if i['s'] == 1] for name, image in images.items()}
    assert page.shown == list(images)
    page.choose('sort', 'lowest weight')
    assert page.shown == sorted(images, key=lambda name: min(i['w'] for i in last[name]))
    page.choose('sort', 'most disagreement')
    assert page.shown == sorted(images, key=lambda name: -images[name]['d'])
    page.choose('class', page.meta['classes'][2])
    page.write('min', '0.35')
    wanted = [name for name in images if any(i['c'] == 2 and i['w'] >= 0.35 for i in last[name])]
    assert sorted(page.shown) == sorted(wanted) and page.text('#count') == f'{len(wanted)} of 6 images'
    page.write('min', '0')
    page.choose('class', 'all')
    page.write('find', '00003')
    assert page.shown == [name for name in images if '00003' in name]


def test_an_address_gives_the_same_view_again(browser, labels_page):
    page = Page(browser, labels_page)
    page.choose('sort', 'worst IoU')
    page.choose('stage', 'classification')
    page.find('#grid figure')[2].click()
    address, view = page.run('return location.hash'), (page.shown, page.chosen, page.text('#one'))
    assert all(word in address for word in ('sort=iou', 'stage=0', 'open='))
    again = Page(browser, labels_page, place=address)
    assert (again.shown, again.chosen, again.text('#one')) == view


def large_page(path, count):
    """A page of many synthetic images in three stages."""
    rng = np.random.default_rng(0)
    screenshot = base64.b64encode(cv2.imencode('.webp', rng.integers(0, 256, (60, 80, 3), np.uint8))[1].tobytes()).decode()
    images = []
    for k in range(count):
        instances = [
            dict(s=s, c=int(rng.integers(20)), w=round(float(rng.uniform(0.01, 1)), 3), b=[5, 5, 30, 30], p='M5 5L35 5L35 35L5 35Z')
            for s in range(3)
            for _ in range(2)
        ]
        images.append(dict(n=f'image_{k:05d}', h=60, w=80, t=[1], i=instances, d=0.5))
    classes, stages = [f'class {k}' for k in range(20)], ['classification', 'detection', 'refinement']
    meta = dict(classes=classes, colours=hex_colours(20), stages=stages, truth=False, images=images)
    return write_browser_page(path, meta, [screenshot] * count)


@pytest.fixture(scope='module')
def five_thousand(tmp_path_factory):
    return large_page(tmp_path_factory.mktemp('large') / 'large.html', 5000)


def test_five_thousand_images_are_walked_with_the_keyboard(browser, five_thousand):
    page = Page(browser, five_thousand)
    assert page.chosen == 'image_00000' and len(page.shown) == 48 and page.text('#page') == 'page 1 of 105'
    page.press('ARROW_RIGHT')
    assert page.chosen == 'image_00001' and not page.find('#one figure')
    page.press('ENTER')
    assert len(page.find('#one figure')) == 3
    page.press('ARROW_RIGHT')
    assert page.chosen == 'image_00002' and 'image_00002' in page.text('#one h2')
    page.press('ESCAPE')
    assert page.find('#one')[0].get_attribute('hidden') and page.chosen == 'image_00002'
    page.press('n')
    assert page.chosen == 'image_00048' and page.text('#page') == 'page 2 of 105'
    page.press('ARROW_LEFT')
    assert page.chosen == 'image_00047' and page.text('#page') == 'page 1 of 105'
    assert page.find('#grid path')
    page.press('m')
    assert not page.find('#grid path')
    page.press('s', 't', 'c')
    states = [page.run('return document.getElementById(arguments[0]).value', name) for name in ('sort', 'stage', 'class')]
    assert states == ['weight', '0', '0'] and page.messages() == []


ACTIONS = {
    'sort': "set('sort', 'weight')",
    'class': "set('class', '3')",
    'weight': "set('min', '0.4')",
    'name': "set('find', '1')",
    'page': "document.getElementById('next').click()",
    'open': "document.querySelector('#grid figure').click()",
}


def test_five_thousand_images_never_stall_the_page(browser, five_thousand):
    """In seconds of the processor, which do not depend on what else runs."""
    browser.execute_cdp_cmd('Performance.disable', {})
    browser.execute_cdp_cmd('Performance.enable', dict(timeDomain='threadTicks'))

    def spent():
        return next(m['value'] for m in browser.execute_cdp_cmd('Performance.getMetrics', {})['metrics'] if m['name'] == 'TaskDuration')

    times, start = {}, spent()
    page = Page(browser, five_thousand)
    page.run('const field = document.body.offsetHeight')
    times['load'], start = spent() - start, spent()
    for name, action in ACTIONS.items():
        page.run(f"""const set = (id, value) => {{ const field = document.getElementById(id); field.value = value; field.oninput(); }};
            {action}; document.body.offsetHeight""")
        times[name], start = spent() - start, spent()
    assert times.pop('load') < 4 and max(times.values()) < 1, times
    assert len(page.find('#grid img')) == 48 and page.messages() == []


@pytest.fixture(scope='module')
def page_files(request, work_dir, labels_page, tmp_path_factory):
    """Report and labels of the training that --work-dir names, of the toy without."""
    run = request.config.getoption('--work-dir')
    folder = tmp_path_factory.mktemp('shown')
    if run is None:
        return dict(report=shutil.copy(write_report(work_dir, 2, 1), folder / 'report.html'), labels=labels_page)
    spec = importlib.util.spec_from_file_location('browse_pseudo_labels', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main([str(run / 'pseudo_labels'), '--out', str(folder / 'labels.html')])
    return dict(report=write_report(run), labels=folder / 'labels.html')


@pytest.mark.parametrize(
    ('screenshot', 'name', 'size', 'place', 'scale'),
    [
        ('browse_1400', 'labels', (1400, 900), '#sort=iou', 0.75),
        ('browse_390', 'labels', (390, 844), '', 1.0),
        ('report_1400', 'report', (1400, 1420), '', 0.6),
        ('report_labels_1400', 'report', (1400, 1485), 'Training', 0.6),
        ('report_390', 'report', (390, 1100), '', 0.9),
    ],
)
def test_pages_are_drawn(browser, page_files, request, tmp_path, screenshot, name, size, place, scale):
    page = Page(browser, page_files[name], size, place if place.startswith('#') else '')
    if screenshot == 'browse_390':
        page.run("document.querySelector('#grid figure').click()")
    if place == 'Training':
        page.run("[...document.querySelectorAll('h2')].find(head => head.textContent === arguments[0]).scrollIntoView()", place)
    drawn = page.screenshot()
    assert drawn.shape[:2] == size[::-1] and len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100
    small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    path = (request.config.getoption('--screenshots') or tmp_path) / f'{screenshot}.webp'
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), small, [cv2.IMWRITE_WEBP_QUALITY, 80])
