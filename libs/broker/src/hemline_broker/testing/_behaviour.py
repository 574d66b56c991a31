"""What a behaviour says of itself: where it comes from, and what a backend must be able to do for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest

from hemline_broker.testing._harness import Harness

__all__ = ["RESTART", "Behaviour", "behaviours", "named", "needs", "only_without"]

# Beside the capabilities of a backend: its harness can restart it.
RESTART = "restart"

_Test = Callable[..., Coroutine[Any, Any, None]]
_FACTS = "_hemline_facts"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One behaviour of the suite.

    Attributes:
        name: of the test, without `test_`.
        meaning: what a backend must do, one sentence.
        sources: names of the behaviours in other suites, or in our own list, that it covers.
        needs: capabilities (or `RESTART`) without which it is skipped.
        only_without: capabilities with which it is skipped.
    """

    name: str
    meaning: str
    sources: tuple[str, ...]
    needs: tuple[str, ...]
    only_without: tuple[str, ...]

    def skipped_by(self, abilities: frozenset[str]) -> str | None:
        """The capability that makes a backend with these abilities skip it; None when it runs."""
        for each in self.needs:
            if each not in abilities:
                return each
        return next((each for each in self.only_without if each in abilities), None)


def named(*sources: str) -> Callable[[_Test], _Test]:
    """What the test is called where it comes from: a suite's name and the behaviour's, such as `Dapr ping`."""
    return lambda test: _noted(test, sources=sources)


def needs(*abilities: str) -> Callable[[_Test], _Test]:
    """Skip the test where the backend lacks one of these."""
    return lambda test: _noted(_guarded(test, abilities, wanted=True), needs=abilities)


def only_without(*abilities: str) -> Callable[[_Test], _Test]:
    """Skip the test where the backend has one of these."""
    return lambda test: _noted(_guarded(test, abilities, wanted=False), only_without=abilities)


def behaviours(suite: type) -> Iterator[Behaviour]:
    """Every behaviour of a suite, in the order in which its parts and their tests are written."""
    for part in suite.__mro__:
        for name, test in vars(part).items():
            if not name.startswith("test_"):
                continue
            facts = getattr(test, _FACTS, {})
            yield Behaviour(
                name.removeprefix("test_"),
                " ".join((inspect.getdoc(test) or "").split("\n\n")[0].split()),
                facts.get("sources", ()),
                facts.get("needs", ()),
                facts.get("only_without", ()),
            )


def _noted(test: _Test, **facts: tuple[str, ...]) -> _Test:
    setattr(test, _FACTS, {**getattr(test, _FACTS, {}), **facts})
    return test


def _guarded(test: _Test, abilities: tuple[str, ...], *, wanted: bool) -> _Test:
    @wraps(test)
    async def guarded(self: object, harness: Harness, **fixtures: Any) -> None:
        async with harness.connect() as broker:
            has = {*broker.capabilities, *((RESTART,) if harness.restart else ())}
        for each in abilities:
            if (each in has) is not wanted:
                backend = harness.url.split(":")[0]
                pytest.skip(f"{backend} {'lacks' if wanted else 'has'} {each}")
        await test(self, harness, **fixtures)

    return guarded
