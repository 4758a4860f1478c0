"""The README, the Makefile and the command line agree."""

import re
import shlex
from pathlib import Path

import pytest

from gan_tf import evaluate, generate, train

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
BLOCKS = "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", README, re.S))


def recipe(target):
    """The commands of a Makefile target, as a person without make would type them."""
    lines = re.search(rf"^{target}:[^\n]*\n((?:\t[^\n]*\n)+)", MAKEFILE, re.M).group(1)
    return [line.strip().replace("$(BIN)/", "") for line in lines.splitlines()]


@pytest.mark.parametrize("target", ["train", "test"])
def test_the_readme_has_the_makefiles_commands_for_those_without_make(target):
    assert f"make {target}\n" in BLOCKS
    for command in recipe(target):
        assert f"\n{command}\n" in BLOCKS, command


def test_every_command_in_the_readme_is_one():
    commands = re.findall(r"^python -m gan_tf\.(train|generate|evaluate) (.*)$", BLOCKS, re.M)
    assert len(commands) >= 5
    for command, options in commands:
        argv = shlex.split(options, comments=True)
        {"train": train, "generate": generate, "evaluate": evaluate}[command].parse(argv)


def test_every_option_that_the_readme_names_exists(capsys):
    known = set()
    for command in (train, generate, evaluate):
        with pytest.raises(SystemExit):
            command.main(["--help"])
        known |= set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out))
    theirs = {"--quiet", "--check"}  # pip's and ruff's.
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", README)) <= known | theirs


def test_every_link_within_the_repository_leads_somewhere():
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README) + re.findall(r'src="(?!https?://)([^"]+)"', README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("name", ["mnist_five.md", "pictures.md", "ablation.md"])
def test_the_results_table_is_what_the_benchmark_wrote(name):
    first = re.search(r"(?:^\|.*\n)+", (ROOT / "benchmarks" / "results" / name).read_text(), re.M).group()
    assert first.count("\n") >= 6 and first in README
