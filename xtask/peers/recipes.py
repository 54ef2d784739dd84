"""Reads recipes and renders all their text, as a builder in Python has to: PyYAML and Jinja2.

recipes.py FOLDER [NAME...]   FOLDER holds one folder for each recipe; all of them without NAME
"""

import pathlib
import sys

import jinja2
import yaml

ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined)


def texts(value):
    """Every string in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def render(folder):
    """The rendered bytes of one recipe; text that needs a builder's own names counts as it stands."""
    recipe = yaml.safe_load((folder / "build.yaml").read_text(encoding="utf-8"))
    context = {
        "arch": "x86_64",
        "parallel_jobs": 4,
        "get_file": lambda name: f"/.neurocontainer-cache/h/{name}",
        **{name: value for name, value in recipe.items() if isinstance(value, (str, int, float))},
    }
    size = 0
    for text in texts(recipe):
        try:
            size += len(ENVIRONMENT.from_string(text).render(context))
        except jinja2.TemplateError:
            size += len(text)
    return size


root = pathlib.Path(sys.argv[1])
names = sys.argv[2:] or sorted(path.parent.name for path in root.glob("*/build.yaml"))
print(len(names), "recipes,", sum(render(root / name) for name in names), "bytes")
