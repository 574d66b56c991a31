"""Which model answers which image."""

from typing import Any, cast

from hemline_api.rollout import Canary, Rollout
from hemline_inference._slots import Serving, Slot, serve


def slot(version: int) -> Slot:
    return Slot(version, cast("Any", object()))


OLD, NEW = slot(1), slot(2)
IDS = [f"image-{n}" for n in range(2000)]


def test_without_a_canary_the_stable_version_answers_all() -> None:
    serving = serve(Rollout(revision=1, stable=1), {1: OLD, 2: NEW}, None)
    assert serving is not None
    assert {serving.slot_for(name) for name in IDS} == {OLD}
    assert serving.versions() == (1,)


def test_a_canary_answers_exactly_the_images_that_the_document_gives_it() -> None:
    rollout = Rollout(revision=2, stable=1, canary=Canary(version=2, fraction=0.3))
    serving = serve(rollout, {1: OLD, 2: NEW}, None)
    assert serving is not None and serving.versions() == (1, 2)
    assert [serving.slot_for(name).version for name in IDS] == [
        rollout.version_for(name) for name in IDS
    ]
    share = sum(serving.slot_for(name) is NEW for name in IDS) / len(IDS)
    assert 0.25 < share < 0.35


def test_a_canary_that_is_not_loaded_leaves_all_to_the_stable_version() -> None:
    rollout = Rollout(revision=2, stable=1, canary=Canary(version=2, fraction=0.3))
    serving = serve(rollout, {1: OLD}, None)
    assert serving is not None
    assert {serving.slot_for(name) for name in IDS} == {OLD}


def test_a_stable_version_that_is_not_loaded_leaves_the_one_before_in_place() -> None:
    before = Serving(Rollout(revision=1, stable=1), OLD)
    serving = serve(Rollout(revision=2, stable=2), {1: OLD}, before)
    assert serving == Serving(Rollout(revision=2, stable=2), OLD)


def test_with_nothing_loaded_nothing_serves() -> None:
    assert serve(Rollout(revision=1, stable=1), {}, None) is None
    canary = Rollout(revision=1, stable=1, canary=Canary(version=2, fraction=0.3))
    assert serve(canary, {2: NEW}, None) is None


def test_the_canary_of_before_does_not_answer_twice_when_it_becomes_the_fallback() -> None:
    before = Serving(Rollout(revision=1, stable=1), OLD)
    rollout = Rollout(revision=2, stable=2, canary=Canary(version=1, fraction=0.5))
    serving = serve(rollout, {1: OLD}, before)
    assert serving is not None and serving.slots() == (OLD,)
