"""One look, as the driver takes it: what it does about refusals."""

from collections.abc import Collection, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from hemline_operator.driver._cache import Cache
from hemline_operator.driver._metrics import OperatorMetrics
from hemline_operator.driver._reconciler import Reconciler
from hemline_operator.kube import Conflict, Ending, Unreachable
from hemline_operator.plan import Action, Capabilities, Key, Platform

HERE, THERE = Key("ending", "mnist"), Key("shop", "mnist")


class Refusing:
    """A writer that the API server refuses."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.keys: list[Key] = []

    def failures(self, key: Key) -> dict[str, str]:
        return {}

    def unseen(self, key: Key, seen: Collection[str]) -> list[Any]:
        return []

    def forget(self, key: Key) -> None:
        return

    async def take(self, key: Key, actions: Sequence[Action]) -> None:
        self.keys.append(key)
        if key == HERE:
            raise self.error


class Silent:
    """Nothing is asked of a classifier that is not there."""

    def forget(self, key: Key) -> None:
        return


def reconciler(writer: Refusing) -> tuple[Reconciler, CollectorRegistry]:
    registry = CollectorRegistry()
    made: Any = Reconciler(
        Cache(),
        Silent(),  # type: ignore[arg-type]
        writer,  # type: ignore[arg-type]
        OperatorMetrics(registry),
        Platform(),
    )
    return made, registry


async def test_a_namespace_that_is_being_deleted_is_left_alone_for_a_while() -> None:
    writer = Refusing(Ending("the namespace is being terminated"))
    looks, registry = reconciler(writer)
    first = await looks.reconcile(HERE)
    assert first is not None
    assert first > 5
    again = await looks.reconcile(HERE)
    assert again is not None
    assert 0 < again <= first
    await looks.reconcile(THERE)
    assert writer.keys == [HERE, THERE]
    labels = {"outcome": "ending"}
    assert registry.get_sample_value("hemline_operator_reconciles_total", labels) == 1


async def test_what_changed_meanwhile_is_looked_at_again_soon() -> None:
    looks, _ = reconciler(Refusing(Conflict("changed")))
    again = await looks.reconcile(HERE)
    assert again is not None
    assert again < 1


async def test_what_cannot_be_reached_is_a_failure() -> None:
    looks, registry = reconciler(Refusing(Unreachable("no answer")))
    with pytest.raises(Unreachable):
        await looks.reconcile(HERE)
    labels = {"outcome": "error"}
    assert registry.get_sample_value("hemline_operator_reconciles_total", labels) == 1


def test_only_other_capabilities_are_news() -> None:
    looks, _ = reconciler(Refusing(Conflict("")))
    assert looks.discovered(Capabilities(scaled_object="v1alpha1"))
    assert not looks.discovered(Capabilities(scaled_object="v1alpha1"))
    assert looks.discovered(Capabilities())
