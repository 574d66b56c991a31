"""Running a command line: what a user did wrong is one line on stderr and an exit code, never a traceback."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

__all__ = ["Failure", "UsageFailure", "main"]


class Failure(Exception):
    """Ends the command with one line on stderr and ``exit_code``."""

    exit_code = 1

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        """Keep the line to print."""
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


class UsageFailure(Failure):
    """An option or argument cannot be used: exit code 2, as for options the parser refuses."""

    exit_code = 2


def main(
    app: typer.Typer,
    *,
    expected: Sequence[type[Exception]] = (),
    args: Sequence[str] | None = None,
) -> NoReturn:
    """Run ``app`` and exit.

    Args:
        app: the command line.
        expected: error trees whose message is written for the user (exit code 1); anything else is a defect
            and keeps its traceback.
        args: instead of ``sys.argv[1:]``.
    """
    try:
        app(args=list(args) if args is not None else None)
    except Failure as error:
        _complain(error)
        sys.exit(error.exit_code)
    except tuple(expected) as error:
        _complain(error)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has gone (`hemline query … | head`): nothing left to say, nobody to say it to.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)


def _complain(error: Exception) -> None:
    line = " ".join(str(error).split()) or type(error).__name__
    print(f"error: {line}", file=sys.stderr)
