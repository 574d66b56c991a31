"""`python -m hemline_broker.testing README.md`: write into a page what each backend runs of the suite."""

from __future__ import annotations

import sys
from pathlib import Path

from hemline_broker.testing import Conformance
from hemline_broker.testing._backends import BACKENDS
from hemline_broker.testing._behaviour import behaviours
from hemline_broker.testing._table import rewrite, table


def main(arguments: list[str]) -> int:
    """Rewrite the page that is named; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m hemline_broker.testing PAGE\n")
        return 2
    try:
        rewrite(Path(arguments[0]), table(list(behaviours(Conformance)), BACKENDS))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
