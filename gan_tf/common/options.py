"""Options as frozen dataclasses: checked when they are made, and parsed from the command line by tyro.

Where a value comes from makes no difference: a command line, a notebook and a JSON file get the same sentence for the
same mistake. The docstring below a field is its text in --help.
"""

import ast
import contextlib
import dataclasses
import functools
import inspect
import os
import textwrap
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from gan_tf.common.errors import InputError

Options = TypeVar("Options")


@dataclasses.dataclass(frozen=True)
class Must:
    """What a field's values must be, for Annotated[type, Must(...)]: in words for the message, and as a test."""

    be: str
    test: Callable[[Any], bool]


def at_least(minimum: int) -> Must:
    return Must(f"a whole number of at least {minimum}", lambda number: number >= minimum)


def optional(metavar: str, unset: str) -> Any:
    """For Annotated[X | None, optional(...)]: how --help shows the value, and what None means as a default."""
    return tyro.conf.arg(
        metavar=metavar,
        help_behavior_hint=lambda default: f"(default: {unset if default in ('None', '') else default})",
    )


class Checked:
    """Base of dataclasses whose values are checked against their annotations. Raises InputError.

    An annotation is int, float, bool, str or Path, a Literal, `tuple[X, ...]`, `X | Y`, or Annotated with Must. NumPy's
    numbers become Python's, and lists become tuples, as JSON has no tuples.
    """

    def __post_init__(self):
        for name, annotation in annotations(type(self)).items():
            try:
                object.__setattr__(self, name, convert(getattr(self, name), annotation))
            except ValueError:
                self.reject(name, describe(annotation))

    def reject(self, name: str, allowed: str) -> typing.NoReturn:
        """Raise an InputError that names the option, its value and what is allowed."""
        value = getattr(self, name)
        shown = " ".join(map(str, value)) if isinstance(value, (tuple, list)) else value
        raise InputError(f"--{name.replace('_', '-')} is {shown}, but it must be {allowed}.")


@functools.cache
def annotations(cls: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields, with what Annotated adds."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def convert(value: Any, annotation: Any) -> Any:
    """`value` as the annotated type. Raises ValueError if it is not one."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        value = convert(value, args[0])
        if not all(extra.test(value) for extra in args[1:] if isinstance(extra, Must)):
            raise ValueError
        return value
    if origin in (typing.Union, types.UnionType):
        for member in args:
            with contextlib.suppress(ValueError):
                return convert(value, member)
        raise ValueError
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise ValueError
        return tuple(convert(item, args[0]) for item in value)
    if origin is Literal:
        return args[args.index(value)]
    if annotation is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    # bool is a subclass of int, but epochs=True is a mistake.
    kind = {int: Integral, float: Real}.get(annotation, annotation)
    if not isinstance(value, kind) or (isinstance(value, bool) and annotation is not bool):
        raise ValueError
    return value if kind is annotation else annotation(value)


def describe(annotation: Any) -> str:
    """What `convert` accepts, in words that follow "it must be"."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return next((extra.be for extra in args[1:] if isinstance(extra, Must)), describe(args[0]))
    if origin in (typing.Union, types.UnionType):
        return describe(args[0])
    if origin is tuple:
        return f"a list, each item {describe(args[0])}"
    if origin is Literal:
        *others, last = args
        return f"{', '.join(others)} or {last}" if others else last
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}[annotation]


def parse_options(options: type[Options], *, prog: str, description: str, argv: Sequence[str]) -> Options:
    """Parse a command line into one dataclass. --help exits with status 0, a wrong option with status 2.

    `prog` is the command as users type it. `description` stands above the options: keep its paragraphs below 80
    characters each, because tyro does not wrap them.
    """
    document_fields(options)
    return tyro.cli(options, prog=prog, description=description, args=argv)


def parse_groups(
    groups: Mapping[str, Sequence[type]],
    defaults: Mapping[str, Any],
    *,
    prog: str,
    description: str,
    argv: Sequence[str],
) -> dict[str, Any]:
    """Parse a command line into several dataclasses and return all their fields in one dictionary.

    `groups` has the dataclasses under each heading of --help. `defaults` has values that replace those of the fields.
    """
    parts = []
    for heading, classes in groups.items():
        for cls in classes:
            document_fields(cls)
            default = cls(
                **{field.name: defaults[field.name] for field in dataclasses.fields(cls) if field.name in defaults}
            )
            annotation = tyro.conf.OmitArgPrefixes[Annotated[cls, tyro.conf.arg(name=heading, help="")]]
            parts.append((f"part_{len(parts)}", annotation, dataclasses.field(default=default)))
    parsed = tyro.cli(dataclasses.make_dataclass("Parts", parts), prog=prog, description=description, args=argv)
    return {name: value for part in vars(parsed).values() for name, value in vars(part).items()}


def document_fields(cls: type) -> None:
    """Give tyro the docstring below each field as one paragraph.

    tyro finds these docstrings itself, but keeps some of the source's line breaks.
    """
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            for name, text in field_docstrings(base).items():
                field = cls.__dataclass_fields__[name]
                field.metadata = types.MappingProxyType({**field.metadata, "help": text})


def field_docstrings(cls: type) -> dict[str, str]:
    """The docstring below each field in the source of one class, without its line breaks."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[statement.target.id] = " ".join(str(following.value.value).split())
    return found
