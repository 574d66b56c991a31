"""The list of commands: each is imported when it is run, so that `hemline --help` and small commands start at once."""

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from hemline_runtime import Failure

__all__ = ["COMMANDS", "Entry", "LazyGroup"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: where it lives and what the list says about it."""

    module: str
    attribute: str
    help: str
    panel: str
    within: str | None = None
    """Name of the command inside the Typer application ``attribute``; None: the application or function itself."""


_RUN: Final = "Run"
_USE: Final = "Use a running installation"
_STEER: Final = "Steer"
_MODEL: Final = "Train and test models"
_PLUMBING: Final = "Plumbing"

COMMANDS: Final[dict[str, Entry]] = {
    "up": Entry(
        "hemline.up", "up", "Run everything on this machine and keep the model fresh.", _RUN
    ),
    "demo": Entry("hemline.demo", "demo", "The whole loop in a few minutes, with a drift.", _RUN),
    "top": Entry("hemline.top", "top", "Live view of a running installation.", _RUN),
    "send": Entry("hemline.commands.send", "send", "Classify images through the broker.", _USE),
    "query": Entry("hemline.commands.query", "query", "SQL over samples and answers.", _USE),
    "dead": Entry(
        "hemline.commands.dead", "app", "List, show and replay what could not be processed.", _USE
    ),
    "models": Entry(
        "hemline.commands.models",
        "models",
        "List model versions, their gate and what serves.",
        _STEER,
    ),
    "rollback": Entry(
        "hemline.commands.steer",
        "rollback",
        "Go back to an earlier version and stay there.",
        _STEER,
    ),
    "pin": Entry("hemline.commands.steer", "pin", "Keep one version live.", _STEER),
    "unpin": Entry("hemline.commands.steer", "unpin", "Let better versions go live again.", _STEER),
    "train": Entry("hemline_model.cli", "app", "Train a model on a data set.", _MODEL, "train"),
    "ensemble": Entry("hemline_model.cli", "app", "Join models into one.", _MODEL, "ensemble"),
    "test": Entry("hemline_model.cli", "app", "Measure a model on a data set.", _MODEL, "test"),
    "predict": Entry(
        "hemline_model.cli", "app", "Classify image files, without a broker.", _MODEL, "predict"
    ),
    "export": Entry(
        "hemline_model.cli", "app", "Write a model's ONNX graph to a file.", _MODEL, "export"
    ),
    "inspect": Entry(
        "hemline_model.cli", "app", "Show what a model or data set is.", _MODEL, "inspect"
    ),
    "lake": Entry(
        "hemline.commands.lake", "app", "Compact, expire and clean the lake's tables.", _PLUMBING
    ),
    "broker": Entry(
        "hemline_broker.cli", "app", "Topics, groups and messages of a broker.", _PLUMBING
    ),
}


class LazyGroup(TyperGroup):
    """A group whose list is a table: a command's module is imported when the command is run."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What the list shows; a stand-in that cannot be run."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        return TyperCommand(
            name=cmd_name, help=entry.help, short_help=entry.help, rich_help_panel=entry.panel
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command to run."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        if name is None or stand_in is None:
            return name, stand_in, rest
        return name, _load(name, COMMANDS[name]), rest

    def invoke(self, ctx: Any) -> Any:
        """Run it; what a library wrote for the user ends the command with that line."""
        try:
            return super().invoke(ctx)
        except _errors_for_users() as error:
            raise Failure(str(error)) from error


def _errors_for_users() -> tuple[type[Exception], ...]:
    """Roots of the error trees whose messages are written for the user.

    Called when something was raised: only libraries imported by then can have raised it, so none is imported for this.
    """
    roots = {
        "hemline_api": "ApiError",
        "hemline_broker": "BrokerError",
        "hemline_model": "ModelError",
        "hemline_store": "StoreError",
        "hemline_samples": "SamplesError",
        "hemline_operator.lifecycle": "LifecycleError",
    }
    trees = (getattr(sys.modules.get(module), name, None) for module, name in roots.items())
    return tuple(tree for tree in trees if isinstance(tree, type) and issubclass(tree, Exception))


def _load(name: str, entry: Entry) -> Any:
    target = getattr(import_module(entry.module), entry.attribute)
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(target)
        target = app
    command: Any = get_command(target)
    if entry.within is not None:
        command = command.commands[entry.within]
    command.name = name
    return command
