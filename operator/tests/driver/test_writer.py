"""What the driver does about what the API server says to its writes."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from hemline_operator.driver._metrics import OperatorMetrics
from hemline_operator.driver._writer import Writer
from hemline_operator.kube import (
    SCALED_OBJECT,
    Ending,
    Exists,
    Forbidden,
    KubeError,
    Refused,
    Unreachable,
)
from hemline_operator.plan import Apply, Create, Delete, Key

KEY = Key("shop", "mnist")


class Answering:
    """An API that answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.error: KubeError | None = None
        self.asked: list[str] = []

    async def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def apply(self, manifest: Mapping[str, Any]) -> None:
        await self._answer(f"apply {manifest['kind']}")

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        await self._answer(f"create {manifest['kind']}")
        return {**manifest, "metadata": {**manifest["metadata"], "uid": str(len(self.asked))}}

    async def delete(self, kind: Any, namespace: str, name: str, *, uid: str | None) -> None:
        await self._answer(f"delete {kind.name}")


def manifest(kind: str, digest: str = "1") -> dict[str, Any]:
    annotations = {"hemline.dev/desired": digest}
    meta = {"name": "mnist", "namespace": "shop", "annotations": annotations}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta}


@pytest.fixture
def api() -> Answering:
    return Answering()


@pytest.fixture
def writer(api: Answering) -> Writer:
    metrics = OperatorMetrics(CollectorRegistry())
    return Writer(api, metrics, resync_seconds=300)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [Refused("too small"), Forbidden("no right")])
async def test_a_child_that_is_refused_is_noted_until_it_is_taken(
    api: Answering, writer: Writer, error: KubeError
) -> None:
    api.error = error
    await writer.take(KEY, [Apply(manifest("Deployment")), Apply(manifest("Service"))])
    assert len(api.asked) == 2  # one that is refused hinders no other
    assert dict(writer.failures(KEY)) == dict.fromkeys(
        ("Deployment mnist", "Service mnist"), str(error)
    )
    api.error = None
    await writer.take(KEY, [Apply(manifest("Deployment")), Apply(manifest("Service"))])
    assert not writer.failures(KEY)


@pytest.mark.parametrize("error", [Unreachable("no answer"), Ending("being deleted")])
async def test_what_says_nothing_of_the_child_breaks_the_pass_off(
    api: Answering, writer: Writer, error: KubeError
) -> None:
    api.error = error
    with pytest.raises(type(error)):
        await writer.take(KEY, [Apply(manifest("Deployment")), Apply(manifest("Service"))])
    assert api.asked == ["apply Deployment"]


async def test_what_is_not_watched_is_applied_once_until_it_changes(
    api: Answering, writer: Writer
) -> None:
    for _ in range(3):
        await writer.take(KEY, [Apply(manifest("KafkaTopic"))])
    await writer.take(KEY, [Apply(manifest("KafkaTopic", digest="2"))])
    assert api.asked == ["apply KafkaTopic"] * 2


async def test_what_was_deleted_is_applied_again_when_it_is_wanted_again(
    api: Answering, writer: Writer
) -> None:
    gone = Delete(SCALED_OBJECT, "shop", "mnist", None)
    for action in (Apply(manifest("ScaledObject")), gone, Apply(manifest("ScaledObject"))):
        await writer.take(KEY, [action])
    assert api.asked == ["apply ScaledObject", "delete ScaledObject", "apply ScaledObject"]


async def test_a_deletion_without_the_right_is_told_and_hinders_nothing(
    api: Answering, writer: Writer
) -> None:
    api.error = Forbidden("no right")
    gone = Delete(SCALED_OBJECT, "shop", "mnist", None)
    await writer.take(KEY, [gone, Apply(manifest("Service"))])
    assert "ScaledObject mnist" in writer.failures(KEY)
    assert api.asked == ["delete ScaledObject", "apply Service"]


async def test_what_is_there_already_is_as_good_as_made(api: Answering, writer: Writer) -> None:
    api.error = Exists("there")
    await writer.take(KEY, [Create(manifest("Job"))])
    assert api.asked == ["create Job"]


async def test_a_fine_tune_counts_until_the_watch_brings_it(writer: Writer) -> None:
    await writer.take(KEY, [Create(manifest("FineTune")), Create(manifest("Job"))])
    (made,) = writer.unseen(KEY, set())
    assert made["kind"] == "FineTune"
    assert writer.unseen(Key("shop", "other"), set()) == []
    assert writer.unseen(KEY, {"another"}) == [made]
    assert writer.unseen(KEY, {"another", made["metadata"]["uid"]}) == []
    assert writer.unseen(KEY, set()) == []


async def test_a_fine_tune_that_was_deleted_at_once_counts_for_a_while_only(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await writer.take(KEY, [Create(manifest("FineTune"))])
    assert writer.unseen(KEY, set())
    later = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert writer.unseen(KEY, set()) == []
