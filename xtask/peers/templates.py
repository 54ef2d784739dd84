"""Reads all installation templates and renders one, as a generator in Python has to at every start.

templates.py FOLDER NAME VERSION
"""

import pathlib
import sys

import jinja2
import yaml

folder, name, version = sys.argv[1:]
templates = {}
for path in sorted(pathlib.Path(folder).glob("*.yaml")):
    template = yaml.safe_load(path.read_text(encoding="utf-8"))
    templates[template["name"].lower()] = template


class Software:
    """What a template's text sees as `self`."""

    def __init__(self, method):
        self.version = version
        self.pkg_manager = "apt"
        self.env = method.get("env", {})
        self.urls = method.get("urls", {})
        self.packages = method.get("dependencies", {}).get("apt", [])
        for key, default in method.get("arguments", {}).get("optional", {}).items():
            setattr(self, key, default)

    def install_dependencies(self):
        return "apt-get install -y " + " ".join(sorted(self.packages))


def render(text, software):
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    while "{{" in text and "}}" in text:
        text = environment.from_string(text.replace("self.", "template.")).render(template=software)
    return text


for template in (templates["_default"], templates[name]):
    method = template.get("binaries") or template["source"]
    software = Software(method)
    for key, value in software.env.items():
        print(render(key, software), render(value, software))
    print(render(method["instructions"], software))
