"""The suite itself: nothing it was to cover is forgotten, and its table tells the truth."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hemline_broker.testing
from hemline_broker.testing import Conformance, Harness
from hemline_broker.testing.__main__ import main
from hemline_broker.testing._backends import BACKENDS
from hemline_broker.testing._behaviour import RESTART, behaviours
from hemline_broker.testing._sources import NAMES, NON_GOALS, SUITES
from hemline_broker.testing._table import table

_SUITE = list(behaviours(Conformance))
_PAGE = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_test_or_a_reason(name: str) -> None:
    covered = any(name in each.sources for each in _SUITE)
    assert covered != (name in NON_GOALS), f"{name}: expected either a test or a reason why not"


def test_no_other_names() -> None:
    named = {name for each in _SUITE for name in each.sources}
    assert named | set(NON_GOALS) <= set(NAMES)
    assert all(name.startswith(tuple(SUITES)) for name in NAMES)
    assert len(set(NAMES)) == len(NAMES)


def test_every_behaviour_says_what_it_demands() -> None:
    assert len({each.name for each in _SUITE}) == len(_SUITE)
    for each in _SUITE:
        assert each.meaning.endswith("."), each.name


def test_only_capabilities_skip() -> None:
    """The table is made from `@needs` and `@only_without`: a skip inside a test would make it wrong."""
    for path in Path(hemline_broker.testing.__file__).parent.glob("*.py"):
        if path.name == "_behaviour.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (
                isinstance(node, ast.Attribute) and node.attr in ("skip", "xfail", "mark")
            ), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize(
    "name", [each.name for each in _SUITE if each.skipped_by(BACKENDS["memory"]) is not None]
)
async def test_what_the_table_says_is_skipped_is_skipped(name: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"memory (lacks|has)"):
        await getattr(Conformance(), f"test_{name}")(Harness("memory:"))


def test_the_table() -> None:
    abilities = {"all": frozenset(n for each in _SUITE for n in each.needs), "none": frozenset()}
    lines = table(_SUITE, abilities).splitlines()
    (kill,) = [line for line in lines if line.startswith("| `kill` |")]
    assert kill.endswith("| C1, C13 | runs | skipped: no `shared` |")
    (other,) = [line for line in lines if "`transactions_are_a_capability`" in line]
    assert other.endswith("| skipped: has `transactions` | runs |")
    assert RESTART in abilities["all"]


def test_the_page_is_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "README.md"
    copy.write_text(_PAGE.read_text())
    assert main([str(copy)]) == 0
    assert copy.read_text() == _PAGE.read_text(), "run: make generate"
    copy.write_text("no marks")
    assert main([str(copy)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert main([]) == 2
