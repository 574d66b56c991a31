"""The command that made a model, as its card remembers it."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from hemline_model._data._text import printable

__all__ = ["command_of"]


def command_of(context: typer.Context) -> str:
    """The command line of a running command, to be repeated by somebody else.

    What was typed, no defaults; of an absolute path the last name only, because a card is passed on
    and the folders of the machine it was made on are nobody's business.
    """
    return printable(shlex.join([*context.command_path.split(), *_arguments(context)]))


def _arguments(context: typer.Context) -> Iterator[str]:
    named = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        values = value if isinstance(value, (list, tuple)) else [value]
        if parameter.param_type_name == "argument":
            yield from map(_plain, values)
        elif isinstance(value, bool):
            named.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            named += [part for one in values for part in (parameter.opts[0], _plain(one))]
    yield from named


def _plain(value: Any) -> str:
    path = Path(str(value))
    return path.name if path.is_absolute() else str(value)
