"""README.md and docs/ agree with the Makefile, the command line, the files and the code."""

import re
import shlex
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from gan_tf import evaluate, export, generate, page, sweep, train

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
import make

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    ROOT / "pretrained" / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
]
COMMANDS = {"train": train, "generate": generate, "evaluate": evaluate, "export": export, "page": page, "sweep": sweep}
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(text, *languages):
    """The code blocks of a page, joined."""
    return "\n".join(re.findall(rf"```(?:{'|'.join(languages)})\n(.*?)```", text, re.S))


def recipe(target):
    """The commands of a Makefile target, as you would type them without make."""
    lines = re.search(rf"^{target}:[^\n]*\n((?:\t[^\n]*\n)+)", MAKEFILE, re.M).group(1)
    return [line.strip().replace("$(BIN)/", "") for line in lines.splitlines()]


def between(marker):
    """The text of the README between two comments, which a script writes."""
    return re.search(rf"<!-- {marker}: [^\n]* -->\n(.*?)<!-- /{marker} -->", README, re.S).group(1).strip()


def anchors(text):
    """The ids that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert README.count("\n") <= 250


@pytest.mark.parametrize("target", ["train", "test"])
def test_the_readme_has_each_make_target_and_its_commands(target):
    shell = blocks(README, "sh")
    assert f"make {target}\n" in shell
    for command in recipe(target):
        assert f"\n{command}\n" in shell, command


@each_page
def test_every_command_parses(path):
    commands = re.findall(r"^!?python -m gan_tf\.(\w+) (.*)$", blocks(path.read_text(), "sh"), re.M)
    commands += re.findall(r"`python -m gan_tf\.(\w+) ([^`]+)`", path.read_text())
    least = {"README.md": 10, "docs/runs.md": 7, "docs/export.md": 7, "pretrained/README.md": 3}
    assert len(commands) >= least.get(path.relative_to(ROOT).as_posix(), 0)
    for command, options in commands:
        if "--help" not in options:
            COMMANDS[command].parse(shlex.split(options, comments=True))


@each_page
def test_every_option_exists(path, capsys):
    known = {"--quiet", "--check", "--table"}  # Options of pip, ruff and notebooks/make.py.
    known |= {"--nodes", "--ntasks-per-node", "--gpus-per-node", "--requeue", "--head", "--port"}  # Of SLURM and Ray.
    for command in COMMANDS.values():
        with pytest.raises(SystemExit):
            command.main(["--help"])
        known |= set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", path.read_text())) <= known


@each_page
def test_every_link_within_the_repository_leads_somewhere(path):
    text = path.read_text()
    links = re.findall(r"\]\((?!https?://)([^)]+)\)", text) + re.findall(r'src="(?!https?://)([^"]+)"', text)
    assert links or path.name in ("runs.md", "export.md")
    for link in links:
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


@each_page
def test_no_link_needs_the_repositorys_unknown_address(path):
    assert "OWNER" in (ROOT / "pyproject.toml").read_text(), "The address is known now: this test can go."
    assert not re.search(r"OWNER|badge|github\.com/[^)\s]*gan_tf", path.read_text())


@each_page
def test_every_picture_has_an_alt_text(path):
    text = path.read_text()
    assert not re.search(r"!\[\]", text)
    for tag in re.findall(r"<img[^>]*>", text):
        assert re.search(r'alt="[^"]{10,}"', tag), tag


def test_the_table_of_chapters_is_what_the_notebooks_say():
    assert between("chapters") == make.table().strip()


def test_the_table_of_results_is_what_the_benchmarks_wrote():
    table = ROOT / "benchmarks" / "results" / "readme_table.md"
    assert between("results") == (table.read_text().strip() if table.exists() else "")


def test_the_library_example_trains_two_models_on_an_array(tmp_path, monkeypatch):
    images = np.zeros((532, 32, 32, 3), np.uint8)
    images[:, 8:24, 8:24] = np.random.default_rng(0).integers(150, 256, (532, 16, 16, 3))
    np.save(tmp_path / "images.npy", images)
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    names = {}
    exec(blocks(README, "python"), names)
    # Keras 3.6 keeps what a step returns as it is, a tensor; later versions make floats of it.
    distances = [float(distance) for distance in names["gan"].history.history["val_frechet_distance"]]
    assert int(names["gan"].step) == 10 and len(distances) == 10
    assert distances == sorted(set(distances), reverse=True)  # Nearer in every epoch.
    latents = np.ones((2, 64), np.float32)
    fakes = keras.models.load_model("generator.keras")(latents)
    np.testing.assert_array_equal(fakes, names["gan"].ema_generator(latents))


@pytest.mark.export
@pytest.mark.skipif(
    not (3, 11) <= sys.version_info < (3, 13), reason="LiteRT needs Python 3.11, and OpenVINO fails on Python 3.13"
)
def test_every_example_of_an_exported_generator_draws_the_same_sevens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, drawn = (ROOT / "docs" / "export.md").read_text(), {}
    for command in re.findall(r"^python -m gan_tf\.export (pretrained/.* --out .*)$", text, re.M):
        export.main(shlex.split(command.replace("pretrained/", f"{ROOT}/pretrained/")))
    first, *examples = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(examples) == 4
    for example in examples:
        names = {}
        exec(first + example, names)
        drawn[example] = names["images"]
    expected = keras.models.load_model(ROOT / "pretrained" / "digits" / "generator.keras")(names["inputs"]).numpy()
    for images in drawn.values():
        np.testing.assert_allclose(images, expected, atol=1e-4, rtol=0)
