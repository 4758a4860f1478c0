import dataclasses
import re
from pathlib import Path
from typing import Annotated, Literal

import pytest

from gan_tf import evaluate, generate, train
from gan_tf.common.errors import InputError
from gan_tf.common.options import Checked, Must, at_least, field_docstrings, optional, parse_groups, parse_options
from gan_tf.config import GROUPS, PRESETS, Config, preset_config

COMMANDS = {"train": train, "generate": generate, "evaluate": evaluate}


@dataclasses.dataclass(frozen=True)
class Meal(Checked):
    plates: Annotated[int, at_least(1)] = 2
    """How many plates to set.
    (One for each guest,
    --even if the guest is late.)"""
    drink: Literal["tea", "water"] = "tea"
    """What to drink."""
    spice: Annotated[float, Must("a number below 1", lambda number: number < 1)] | None = None
    """How hot it is."""


@dataclasses.dataclass(frozen=True)
class Table(Checked):
    place: Annotated[Path | None, optional("DIR", "the kitchen")] = None
    """Where to eat."""


def help_of(parse, capsys, monkeypatch, columns=80):
    """What --help prints in a terminal of this many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as exit:
        parse(["--help"])
    assert exit.value.code == 0
    return capsys.readouterr().out


def headings(text):
    return re.findall(r"^ (\w[\w ]*?) *\n -----", text, re.MULTILINE)


def unwrapped(text):
    """The help without its line breaks."""
    return " ".join(text.split())


def test_values_are_checked_converted_and_described():
    assert Meal(plates=3, drink="water", spice=0) == Meal(3, "water", 0.0)
    for fields, message in [
        ({"plates": 0}, "--plates is 0, but it must be a whole number of at least 1."),
        ({"plates": "many"}, "--plates is many, but it must be a whole number of at least 1."),
        ({"drink": "wine"}, "--drink is wine, but it must be tea or water."),
        ({"spice": 2}, "--spice is 2, but it must be a number below 1."),
    ]:
        with pytest.raises(InputError) as caught:
            Meal(**fields)
        assert str(caught.value) == message


def test_a_docstring_below_a_field_reaches_help_on_one_line(capsys, monkeypatch):
    assert (
        field_docstrings(Meal)["plates"] == "How many plates to set. (One for each guest, --even if the guest is late.)"
    )
    text = help_of(lambda argv: parse_options(Meal, prog="p", description="d", argv=argv), capsys, monkeypatch, 200)
    assert "How many plates to set. (One for each guest, --even if the guest is late.) (default: 2)" in text


def test_groups_have_headings_defaults_and_what_none_means(capsys, monkeypatch):
    def parse(argv):
        groups = {"food": [Meal], "place": [Table]}
        return parse_groups(groups, {"plates": 7, "unused": 1}, prog="p", description="d", argv=argv)

    assert parse(["--drink", "water"]) == {"plates": 7, "drink": "water", "spice": None, "place": None}
    assert parse(["--place", "here", "--spice", "0.5"])["place"] == Path("here")
    with pytest.raises(InputError, match="--plates is 0"):
        parse(["--plates", "0"])
    text = help_of(parse, capsys, monkeypatch)
    assert headings(text) == ["options", "food options", "place options"]
    assert "--place DIR" in text and "(default: the kitchen)" in text and "(default: 7)" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal(command, capsys, monkeypatch):
    for columns in (80, 120):
        text = help_of(COMMANDS[command].parse, capsys, monkeypatch, columns)
        assert max(map(len, text.splitlines())) <= columns


@pytest.mark.parametrize("command", COMMANDS)
def test_help_documents_every_option_without_the_line_breaks_of_the_source(command, capsys, monkeypatch):
    module = COMMANDS[command]
    text = help_of(module.parse, capsys, monkeypatch, columns=2000)
    for cls in [*GROUPS.values(), train.RunOptions] if command == "train" else [module.Options]:
        sentences = field_docstrings(cls)
        assert set(sentences) == {field.name for field in dataclasses.fields(cls)}
        for name, sentence in sentences.items():
            assert f" {sentence} (" in text, name


def test_help_of_train_has_its_headings_in_order_and_names_the_preset(capsys, monkeypatch):
    text = help_of(train.parse, capsys, monkeypatch)
    assert headings(text) == ["options", *(f"{heading} options" for heading in GROUPS)]
    assert "Defaults shown are those of --dataset digits." in text
    for argv, source in [
        (["--dataset", "pokemon"], "--dataset pokemon"),
        (["--dataset", "digits", "--preset", "pokemon"], "--preset pokemon"),
    ]:
        text = help_of(lambda rest, argv=argv: train.parse([*argv, *rest]), capsys, monkeypatch)
        assert f"Defaults shown are those of {source}." in text
        assert f"(default: {PRESETS['pokemon']['epochs']})" in unwrapped(text)
        assert "(default: translation cutout)" in unwrapped(text)
    assert PRESETS["pokemon"]["epochs"] != Config().epochs


def test_options_of_train_reach_the_config_and_the_command():
    options = train.parse(
        ["--dataset", "pokemon", "--label", "cat", "dog", "--r1", "2", "--run", "here", "--no-fallback", "--flip"]
    )
    assert (options.run, options.resume, options.fallback, options.tensorboard) == (Path("here"), None, False, False)
    assert options.config == preset_config("pokemon", label=["cat", "dog"], r1=2.0, flip=True)
    assert train.parse(["--digit", "5"]).config.label == ("5",)
    assert train.parse(["--dataset", "pokemon", "--loss", "wasserstein"]).config.r1 is None
