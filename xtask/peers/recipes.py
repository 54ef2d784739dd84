"""Reads recipes, checks them and renders their Dockerfiles, as a builder in Python does: PyYAML and Jinja2.

recipes.py RECIPES TEMPLATES [NAME...]

RECIPES holds one folder for each recipe (all of them without NAME), beside it stands `macros`;
TEMPLATES holds the installation templates.
"""

import base64
import hashlib
import pathlib
import re
import shlex
import struct
import sys
import urllib.parse
import zlib

import jinja2
import yaml

STRICT = jinja2.Environment(undefined=jinja2.StrictUndefined)
LENIENT = jinja2.Environment()

KEYS = {
    "name", "version", "architectures", "build", "variants", "options", "variables", "files",
    "deploy", "readme", "readme_url", "structured_readme", "categories", "icon", "copyright",
    "gui_apps", "apptainer_args", "show_in_menu", "show_in_applist", "auto_update", "description",
    "draft", "epoch", "tests",
}
ACTIONS = {
    "install", "run", "workdir", "user", "entrypoint", "environment", "copy", "variables",
    "group", "include", "file", "deploy", "template", "boutique", "test",
}
COMPANIONS = {"condition", "with", "custom", "customParams"}
FILE_KEYS = {
    "name", "filename", "contents", "url", "executable", "insecure", "retry", "refresh",
    "condition",
}


class Check:
    """Collects what is wrong with one recipe: its form, its templates, and what breaks later."""

    def __init__(self, recipe):
        self.found = []
        self.recipe = recipe
        self.top()
        self.icon(str(recipe.get("icon", "")).strip())
        for value in recipe.values():
            self.templates(value)
        for path, directive in self.directives(recipe.get("build", {}).get("directives", [])):
            self.directive(path, directive)

    def say(self, path, message):
        self.found.append(f"{path}: {message}")

    def top(self):
        recipe = self.recipe
        for key in recipe.keys() - KEYS:
            self.say(key, "unknown key")
        for key in ("name", "version", "architectures", "build", "categories"):
            if not recipe.get(key):
                self.say(key, "missing")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", str(recipe.get("name"))):
            self.say("name", "cannot be a container's name")
        for architecture in recipe.get("architectures", []):
            if architecture not in ("x86_64", "aarch64"):
                self.say("architectures", f"{architecture} is unknown")
        for entry in recipe.get("copyright") or []:
            if not ("license" in entry or "name" in entry):
                self.say("copyright", "neither license nor name")
        for file in recipe.get("files") or []:
            self.file("files", file)

    def file(self, path, file):
        for key in file.keys() - FILE_KEYS:
            self.say(f"{path}.{key}", "unknown key")
        if not isinstance(file.get("name"), str):
            self.say(path, "name must be a string")
        if len({"filename", "contents", "url"} & file.keys()) != 1:
            self.say(path, "needs one source")
        if str(file.get("url", "")).startswith("http://"):
            self.say(path, "plain http")

    def icon(self, text):
        match = re.fullmatch(r"data:image/([A-Za-z0-9.+-]+);base64,(.+)", text, re.DOTALL)
        if not match:
            self.say("icon", "no data URI")
            return
        data = base64.b64decode("".join(match[2].split()), validate=True)
        if match[1] != "png" or not data.startswith(b"\x89PNG\r\n\x1a\n"):
            self.say("icon", "no PNG image")
            return
        pixels, place, kind = b"", 8, b""
        while kind != b"IEND":
            if len(data) < place + 12:
                self.say("icon", "cut off")
                return
            length, kind = struct.unpack(">I4s", data[place : place + 8])
            body = data[place + 8 : place + 8 + length]
            if zlib.crc32(kind + body).to_bytes(4, "big") != data[place + 8 + length :][:4]:
                self.say("icon", "damaged")
                return
            if kind == b"IHDR":
                width, height = struct.unpack(">II", body[:8])
                if width != height:
                    self.say("icon", "not square")
            if kind == b"IDAT":
                pixels += body
            place += length + 12
        try:
            zlib.decompress(pixels)
        except zlib.error as problem:
            self.say("icon", str(problem))

    def templates(self, value):
        if isinstance(value, str):
            if "{{" in value or "{%" in value or "{#" in value:
                try:
                    STRICT.parse(value)
                except jinja2.TemplateSyntaxError as problem:
                    self.say("template", problem.message)
        elif isinstance(value, dict):
            for item in value.values():
                self.templates(item)
        elif isinstance(value, list):
            for item in value:
                self.templates(item)

    def directives(self, items, path="build.directives"):
        for index, item in enumerate(items):
            here = f"{path}[{index}]"
            yield here, item
            if "group" in item:
                yield from self.directives(item["group"], f"{here}.group")

    def directive(self, path, directive):
        actions = directive.keys() & ACTIONS
        if len(actions) != 1:
            self.say(path, "needs one action")
        for key in directive.keys() - ACTIONS - COMPANIONS:
            self.say(f"{path}.{key}", "unknown key")
        if isinstance(directive.get("condition"), str):
            STRICT.parse("{{" + directive["condition"] + "}}")
        if "file" in directive:
            self.file(path, directive["file"])
        run = directive.get("run", [])
        for command in [run] if isinstance(run, str) else run:
            self.command(path, command)

    def command(self, path, command):
        if not isinstance(command, str):
            return
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            return
        if "pip" in words and "install" in words:
            for word in words[words.index("install") + 1 :]:
                if re.fullmatch(r"[A-Za-z0-9_.-]+", word) and not word.startswith("-"):
                    self.say(path, f"{word} has no version")
        for word in words:
            if word.startswith(("/root/", "/home/")):
                self.say(path, f"{word} is in a home folder")
            if word.startswith("http://"):
                self.say(path, f"{word} is plain http")
        if {"curl", "wget"} & set(words) and "sha256sum" not in words:
            self.say(path, "download without a checksum")


class Software:
    """What the text of an installation template sees as `self`."""

    def __init__(self, template, parameters, manager):
        name = parameters.get("method", "binaries" if "binaries" in template else "source")
        self.method = template[name]
        self.manager = manager
        arguments = self.method.get("arguments", {}).get("optional", {})
        self.values = {**arguments, **{key: str(value) for key, value in parameters.items()}}
        self.values.setdefault("urls", self.method.get("urls", {}))

    def __getattr__(self, name):
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def install(self, packages):
        return packages_text(self.manager, packages)

    def install_dependencies(self):
        packages = self.method.get("dependencies", {}).get(self.manager, [])
        return self.install([self.render(package) for package in packages])

    def render(self, text):
        text = str(text)
        while "{{" in text and "}}" in text:
            text = LENIENT.from_string(text.replace("self.", "template.")).render(
                template=self, **{"raise": self.fail}
            )
        return text

    def fail(self, message):
        raise ValueError(message)


def packages_text(manager, packages):
    names = " \\\n    ".join(sorted(packages))
    if manager == "apt":
        return (
            "apt-get update -qq\n"
            f"apt-get install -y -q --no-install-recommends \\\n    {names}\n"
            "rm -rf /var/lib/apt/lists/*"
        )
    return f"yum install -y -q \\\n    {names}\nyum clean all\nrm -rf /var/cache/yum/*"


class Build:
    """Compiles one recipe into the text of its Dockerfile."""

    def __init__(self, recipe, include, templates):
        self.recipe, self.include, self.templates = recipe, include, templates
        self.lines, self.files, self.mounts = [], {}, {}
        self.deploy, self.users = {"path": [], "bins": []}, {"root"}
        self.cache_id = None
        options = recipe.get("options") or {}
        self.context = {
            "name": recipe["name"],
            "version": str(recipe["version"]),
            "original_version": str(recipe["version"]),
            "arch": "x86_64",
            "variant": "",
            "parallel_jobs": 4,
            "options": {name: bool(option.get("default")) for name, option in options.items()},
            "get_file": self.get_file,
            "has_local": lambda key: False,
            "get_local": self.get_local,
        }

    def dockerfile(self):
        build = self.recipe["build"]
        for name, value in (self.recipe.get("variables") or {}).items():
            self.context[name] = self.render(value)
        for file in self.recipe.get("files") or []:
            self.file(file)
        readme = self.render(self.recipe.get("readme") or "")
        image = self.render(build["base-image"])
        self.manager = self.render(build["pkg-manager"])
        self.lines += [f"FROM {image}", "USER root"]
        self.apply(build["directives"])
        for key, value in (self.render(self.recipe.get("deploy")) or {}).items():
            if key in self.deploy and not self.deploy[key]:
                self.deploy[key] = value
        for key, value in self.deploy.items():
            self.lines.append(f'ENV DEPLOY_{key.upper()}="{":".join(value)}"')
        self.lines.append('COPY ["README.md", "build.yaml", "/"]')
        return "\n".join(self.lines) + readme

    def render(self, value):
        if isinstance(value, str):
            names = {**self.context, "context": self.context, "local": self.context}
            return STRICT.from_string(value).render(names)
        if isinstance(value, list):
            return [self.render(item) for item in value]
        if isinstance(value, dict):
            if isinstance(value.get("try"), list):
                for option in value["try"]:
                    if self.holds(option["condition"]):
                        return self.render(option["value"])
                raise ValueError("no try condition matched")
            return {str(self.render(key)): self.render(item) for key, item in value.items()}
        return value

    def holds(self, condition):
        return self.render("{{" + str(condition) + "}}").strip() == "True"

    def file(self, file):
        if "condition" in file and not self.holds(file["condition"]):
            return
        file = {key: self.render(value) for key, value in file.items()}
        url = urllib.parse.urlsplit(file.get("url", ""))
        guest = urllib.parse.unquote(url.path).rsplit("/", 1)[-1] or file["name"]
        self.files[file["name"]] = {**file, "guest": guest}

    def get_file(self, name):
        guest = self.files[name]["guest"]
        if self.cache_id is None:
            return f"/.neurocontainer-cache/{guest}"
        self.mounts.setdefault(self.cache_id, {})[name] = guest
        return f"/.neurocontainer-cache/{self.cache_id}/{guest}"

    def get_local(self, key):
        raise ValueError(f"local context not available: {key}")

    def apply(self, directives):
        for directive in directives:
            if "condition" in directive and not self.holds(directive["condition"]):
                continue
            for action in directive.keys() & ACTIONS:
                getattr(self, f"do_{action}", lambda value, directive: None)(
                    directive[action], directive
                )

    def run_lines(self, text, flags=""):
        out = []
        raw = ("RUN " + flags + text).splitlines()
        for index, line in enumerate(raw):
            line = line.rstrip()
            if not line:
                continue
            joins = line.startswith(("&&", "&", "||", "|", "fi"))
            comment = line.startswith("#")
            before = index > 0 and (raw[index - 1].endswith("\\") or raw[index - 1].startswith("if"))
            if index > 0:
                line = line if joins or before or comment else "&& " + line
                line = (" " * 7 if before and not joins else " " * 4) + line
            if index < len(raw) - 1 and not line.endswith("\\") and not comment:
                line += " \\"
            out.append(line)
        self.lines += out

    def do_install(self, value, _):
        value = self.render(value)
        packages = shlex.split(value) if isinstance(value, str) else [str(item) for item in value]
        self.run_lines(packages_text(self.manager, packages))

    def do_run(self, value, directive):
        text = yaml.dump(directive)
        self.cache_id = "h" + hashlib.sha256(text.encode()).hexdigest()[:8]
        commands = self.render(value)
        commands = [commands] if isinstance(commands, str) else commands
        flags = ""
        if self.cache_id in self.mounts:
            path = f"/.neurocontainer-cache/{self.cache_id}"
            flags = (
                f"--mount=type=bind,from=neurocontainer-cache,source=/{self.cache_id},"
                f"target={path},readonly"
            )
        self.cache_id = None
        self.run_lines(" " + " \\\n && ".join(str(item) for item in commands if item), flags)

    def do_workdir(self, value, _):
        self.lines.append(f"WORKDIR {self.render(value)}")

    def do_user(self, value, _):
        user = self.render(value)
        if user not in self.users:
            self.users.add(user)
            self.lines.append(f'RUN test "$(getent passwd {user})" || useradd {user}')
        self.lines.append(f"USER {user}")

    def do_entrypoint(self, value, _):
        self.lines.append(f'ENTRYPOINT ["{self.render(value)}"]')

    def do_environment(self, value, _):
        for key, item in self.render(value).items():
            self.lines.append(f'ENV {key}="{item}"')

    def do_copy(self, value, _):
        value = self.render(value)
        words = shlex.split(value) if isinstance(value, str) else value
        words = [self.files[word]["guest"] if word in self.files else word for word in words]
        self.lines.append("COPY [" + ", ".join(f'"{word}"' for word in words) + "]")

    def do_variables(self, value, _):
        for name, item in value.items():
            self.context[name] = self.render(item)

    def do_group(self, value, directive):
        saved = dict(self.context)
        self.context.update(self.render(directive.get("with") or {}))
        self.apply(value)
        if directive.get("with"):
            self.context = saved

    def do_include(self, value, _):
        text = (self.include / self.render(value)).read_text(encoding="utf-8")
        self.apply(yaml.safe_load(text)["directives"])

    def do_file(self, value, _):
        self.file(value)

    def do_deploy(self, value, _):
        for key, items in self.render(value).items():
            self.deploy[key] += items

    def do_template(self, value, _):
        parameters = self.render(value)
        template = self.template(parameters.pop("name"))
        software = Software(template, {"arch": "x86_64", **parameters}, self.manager)
        for step in software.method["directives"]:
            for name, item in step.get("environment", {}).items():
                self.lines.append(f'ENV {software.render(name)}="{software.render(item)}"')
            if "install" in step:
                packages = [software.render(item) for item in step["install"]]
                self.run_lines(packages_text(self.manager, packages))
            if "run" in step:
                texts = [step["run"]] if isinstance(step["run"], str) else step["run"]
                self.run_lines(" \\\n && ".join(software.render(text) for text in texts))

    def template(self, name):
        text = (self.templates / f"{name}.yaml").read_text(encoding="utf-8")
        return yaml.safe_load(text)


def main(recipes, templates, *names):
    recipes, templates = pathlib.Path(recipes), pathlib.Path(templates)
    names = names or sorted(path.parent.name for path in recipes.glob("*/build.yaml"))
    size = problems = failed = 0
    for name in names:
        text = (recipes / name / "build.yaml").read_text(encoding="utf-8")
        recipe = yaml.safe_load(text)
        problems += len(Check(recipe).found)
        if not recipe.get("readme") and (recipes / name / "README.md").exists():
            recipe["readme"] = (recipes / name / "README.md").read_text(encoding="utf-8")
        try:
            size += len(Build(recipe, recipes.parent, templates).dockerfile())
        except (jinja2.TemplateError, ValueError, KeyError, OSError) as problem:
            failed += 1
            print(f"{name}: {type(problem).__name__}: {problem}")
    print(len(names), "recipes,", problems, "problems,", failed, "failed,", size, "bytes")


main(*sys.argv[1:])
