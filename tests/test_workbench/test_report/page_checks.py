"""Names that contain markup, and a parser that is stricter than browsers."""

from html.parser import HTMLParser

ATTACK = """</script><script>document.title='run'</script><img src=x onerror="document.title='run'">'"&amp;{{ 7*7 }}🐮"""
CLASSES = (ATTACK, 'two\nlines\u2028x', '</style></title><!-- x', '&lt;b&gt; "kite"')
IMAGE = """<img:onerror=x>"'&amp;{{7*7}}</🐮""".replace('/', '')
VOID = {'meta', 'img', 'br', 'input', 'path', 'circle', 'polyline'}


class Checker(HTMLParser):
    """Collects tags and texts, and sees that every tag that is opened is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)
