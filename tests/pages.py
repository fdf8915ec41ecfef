"""A parsed HTML page."""

import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """Its elements with their attributes, its text outside of scripts and styles, and the data it carries."""

    def __init__(self, content):
        super().__init__()
        self.elements, self.words, self.scripts, self.inside = [], [], [], []
        self.feed(content)
        self.text = " ".join(" ".join(self.words).split())
        self.data = json.loads(next(text for given, text in self.scripts if given.get("id") == "data"))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = [tag, dict(attributes)] if tag in ("script", "style") else []

    def handle_endtag(self, tag):
        self.inside = []

    def handle_data(self, text):
        if not self.inside:
            self.words.append(text)
        elif self.inside[0] == "script":
            self.scripts.append((self.inside[1], text))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]
