"""README.md and docs/ are correct: pages are fresh, links and files exist, commands parse, examples run."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import facegan
from facegan import cli, plugins
from facegan.config import RunConfig, resolve

ROOT = Path(__file__).resolve().parent.parent
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = sorted(
    [*FRONT, *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md", *(ROOT / "examples").rglob("README.md")]
)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def generate():
    """Import docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_fresh(generate, capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_stale_page_fails_the_check_until_it_is_written_again(generate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    monkeypatch.setattr(generate, "commands_page", lambda: "commands")
    (tmp_path / "commands.md").write_text("commands")
    (tmp_path / "configuration.md").write_text("old")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/configuration.md: stale; run: python docs/generate.py\n"
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_every_setting_is_described():
    models = {"": RunConfig, **{f"{name}.": section for name, section in _sections()}}
    for kind in ("architecture", "loss", "dataset"):
        models |= {f"{kind} {name}: ": plugins.find(kind, name) for name in plugins.BUILT_IN[kind]}
    missing = [
        f"{where}{name}"
        for where, model in models.items()
        for name, field in model.model_fields.items()
        if not field.description and not hasattr(field.annotation, "model_fields")
    ]
    assert missing == []


def _sections():
    fields = RunConfig.model_fields.items()
    return [
        (name, field.annotation)
        for name, field in fields
        if name not in ("architecture", "loss") and hasattr(field.annotation, "model_fields")
    ]


# Links


def headings(page):
    """Return the anchors of a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_anchors_are_formed_as_markdown_viewers_form_them(tmp_path):
    (tmp_path / "page.md").write_text("# One `facegan train`\n\n```sh\n# no heading\n```\n\n## What D(x) means\n")
    assert headings(tmp_path / "page.md") == {"one-facegan-train", "what-dx-means"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_exist(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in headings(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_source_files_that_are_named_exist(page):
    folders = (ROOT / "src" / "facegan", ROOT, page.parent)
    named = re.findall(r"`([\w./-]+\.py)`", page.read_text())
    assert [path for path in named if not any((folder / path).is_file() for folder in folders)] == []


def test_layers_in_the_design_page_are_those_that_are_enforced():
    section = (ROOT / "docs" / "design.md").read_text().partition("## Layers")[2].partition("\n## ")[0]
    shown = [re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| (`\w.*?) \|", section, re.MULTILINE)]
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    existing = {path.stem for path in (ROOT / "src" / "facegan").iterdir()}
    layers = [re.findall(r"\w+", layer) for layer in contract["layers"]]
    assert shown == [found for layer in layers if (found := [name for name in layer if name in existing])]


# Command lines


def command_lines(text):
    """Yield the arguments of every `facegan ...` command in fenced sh blocks."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for part in re.split(r"&&|\|\||;|\|", line):
                words = shlex.split(part, comments=True)
                if words[:1] == ["facegan"]:
                    yield words[1:]


def refuse_unknown(arguments):
    """Parse a command line without running it; fail on a name, option, setting or preset that does not exist."""
    menu = get_command(cli.app)
    context = menu.make_context("facegan", ["--version"], resilient_parsing=True)
    if arguments[:1] in (["--version"], ["--help"]):
        return
    arguments = arguments[1:] if arguments[0] == "--debug" else arguments
    if "--help" in arguments:
        arguments.remove("--help")
    command = menu.get_command(context, arguments[0])
    given = command.make_context(arguments[0], arguments[1:], parent=context).params
    if arguments[0] == "train":
        resolve(preset=given["preset"], settings=given["settings"] or [])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_are_shown_exist_with_their_options(page):
    text = page.read_text()
    if "examples" in page.parts or page.name == "plugins.md":
        text = text.replace("facegan hello-faces", "facegan plugins")  # a command of the example package
    for arguments in command_lines(text):
        refuse_unknown(arguments)


def test_command_lines_are_found_in_blocks():
    text = "```sh\npip install x && facegan train \\\n  --steps 3  # a comment\n```\n`facegan no`\n"
    assert list(command_lines(text)) == [["train", "--steps", "3"]]


@pytest.mark.parametrize("line", ["trian", "train --stps 3", "train --set trian.x=1", "train --preset nothing"])
def test_command_lines_that_do_not_exist_fail(line):
    with pytest.raises(Exception, match=r"did you mean|No such option|there is"):
        refuse_unknown(line.split())


# Make targets and the citation

MAKERS = [
    ROOT / name for name in ("Makefile", ".ci/run", ".github/workflows/ci.yml", ".github/pull_request_template.md")
]


def make_targets(text):
    """Yield the targets of every `make ...` in fenced blocks, inline code, and lines of scripts and workflows."""
    for words in re.findall(r"(?:^|`|run: |# )make ((?:[a-z]+(?: |\b))+)", text, re.MULTILINE):
        yield from words.split()


@pytest.mark.parametrize("page", [*PAGES, *MAKERS], ids=name_of)
def test_make_targets_that_are_shown_exist(page):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(make_targets(page.read_text())) <= set(targets)


def test_make_targets_are_found_in_code_and_not_in_prose():
    text = "`make demo`, `make check test X=1` make sense\n```sh\nmake clean    # a comment\n```\n  - run: make docs\n"
    assert list(make_targets(text)) == ["demo", "check", "test", "clean", "docs"]


def test_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^(cff-version|version): (.+)$", text, re.MULTILINE) == [
        ("cff-version", "1.2.0"),
        ("version", facegan.__version__),
    ]


# Excerpts


def test_excerpts_in_the_plugin_guide_are_the_files_themselves():
    text = (ROOT / "docs" / "plugins.md").read_text()
    found = re.findall(r"<!-- from (\S+) -->\n```(?:python|toml)\n(.*?)```", text, re.DOTALL)
    assert len(found) >= 5
    for path, excerpt in found:
        assert excerpt in (ROOT / path).read_text(), f"{path}: the excerpt in docs/plugins.md differs"


# Python


def python_blocks(text):
    """Yield the fenced python blocks of a page, padded so that an error shows the line of the page."""
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield "\n" * text[: match.start(1)].count("\n") + match[1]


def test_python_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "python.md"
    names = {}
    for block in python_blocks(page.read_text()):
        exec(compile(block, page, "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{Path('runs/mine')} True ")
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"runs", "sum.safetensors", "sheet.png", "equation.webp", "walk.gif", "grid.png"}
