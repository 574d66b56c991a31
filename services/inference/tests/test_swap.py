"""Following the rollout document."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from hemline_api.rollout import Canary, Rollout
from hemline_inference import Timing, VersionRefused, VersionUnavailable
from hemline_inference._slots import Serving
from hemline_inference._swap import Swapper
from hemline_model import Classifier

QUICK = Timing(rollout_poll=0.005, retry_refused=0.02, retry_first=0.01, retry_most=0.02)


class Source:
    """Versions by number; an exception in place of one is raised once for each time it is listed."""

    def __init__(self, *versions: int) -> None:
        self.models: dict[int, Classifier] = {v: cast("Any", object()) for v in versions}
        self.problems: dict[int, list[Exception]] = {}
        self.loads: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def load(self, version: int) -> Classifier:
        self.loads.append(version)
        self.gate.wait(30)
        if self.problems.get(version):
            raise self.problems[version].pop(0)
        return self.models[version]


class Seen:
    def __init__(self) -> None:
        self.swaps: list[Serving] = []
        self.refusals: list[str] = []

    def swapped(self, serving: Serving, seconds: float) -> None:
        self.swaps.append(serving)

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)


class Case:
    def __init__(self, source: Source, timing: Timing = QUICK) -> None:
        self.source = source
        self.document: Rollout | None = None
        self.seen = Seen()
        self.swapper = Swapper(source, lambda: self.document, timing, self.seen)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def until_revision(self, revision: int) -> Serving:
        def reached() -> bool:
            serving = self.swapper.serving
            return serving is not None and serving.rollout.revision == revision

        await self.until(reached)
        serving = self.swapper.serving
        assert serving is not None
        return serving


@asynccontextmanager
async def following(source: Source, timing: Timing = QUICK) -> AsyncIterator[Case]:
    case = Case(source, timing)
    task = asyncio.create_task(case.swapper.follow())
    try:
        yield case
    finally:
        source.gate.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def refusal(version: int) -> VersionRefused:
    return VersionRefused(version, "damaged", f"version {version} is damaged")


async def test_the_first_model_makes_it_ready() -> None:
    async with following(Source(1)) as case:
        await asyncio.sleep(0.02)
        assert not case.swapper.ready.is_set()
        case.document = Rollout(revision=7, stable=1)
        serving = await case.until_revision(7)
        assert serving.versions() == (1,)
        assert case.swapper.ready.is_set()
        assert case.swapper.problem is None


async def test_the_old_model_serves_while_the_new_one_loads() -> None:
    async with following(Source(1, 2)) as case:
        case.document = Rollout(revision=1, stable=1)
        before = await case.until_revision(1)
        case.source.gate.clear()
        case.document = Rollout(revision=2, stable=2)
        await case.until(lambda: case.source.loads == [1, 2])
        assert case.swapper.serving is before
        case.source.gate.set()
        assert (await case.until_revision(2)).versions() == (2,)


async def test_a_model_in_use_is_not_loaded_again() -> None:
    async with following(Source(1, 2)) as case:
        case.document = Rollout(revision=1, stable=1)
        await case.until_revision(1)
        case.document = Rollout(revision=2, stable=1, canary=Canary(version=2, fraction=0.5))
        trial = await case.until_revision(2)
        case.document = Rollout(revision=3, stable=2)
        after = await case.until_revision(3)
        assert case.source.loads == [1, 2]
        assert after.stable is trial.canary


async def test_a_refused_version_is_reported_and_the_old_one_serves() -> None:
    source = Source(1)
    source.problems[2] = [refusal(2) for _ in range(10_000)]
    async with following(source) as case:
        case.document = Rollout(revision=1, stable=1)
        await case.until_revision(1)
        case.document = Rollout(revision=2, stable=2)
        serving = await case.until_revision(2)
        assert serving.versions() == (1,)
        assert case.swapper.refused == {2: "version 2 is damaged"}
        # It is tried again now and then, but complained of once.
        await case.until(lambda: source.loads.count(2) >= 3)
        assert case.seen.refusals == ["damaged"]
        case.document = Rollout(revision=3, stable=1)
        await case.until_revision(3)
        assert case.swapper.refused == {}


async def test_a_version_repaired_in_the_lake_serves_without_a_new_document() -> None:
    source = Source(1, 2)
    source.problems[2] = [refusal(2)]
    async with following(source) as case:
        case.document = Rollout(revision=1, stable=2)
        serving = await case.until_revision(1)
        assert serving.versions() == (2,)
        assert case.swapper.refused == {}


async def test_a_version_out_of_reach_is_tried_until_it_comes() -> None:
    source = Source(1)
    source.problems[1] = [VersionUnavailable("the lake is away") for _ in range(3)]
    async with following(source) as case:
        case.document = Rollout(revision=1, stable=1)
        await case.until_revision(1)
        assert source.loads == [1, 1, 1, 1]
        assert case.seen.refusals == []


async def test_a_newer_document_is_not_kept_waiting_by_a_version_out_of_reach() -> None:
    source = Source(1, 2)
    source.problems[1] = [VersionUnavailable("the lake is away") for _ in range(10_000)]
    async with following(source) as case:
        case.document = Rollout(revision=1, stable=1)
        await case.until(lambda: len(source.loads) >= 2)
        case.document = Rollout(revision=2, stable=2)
        assert (await case.until_revision(2)).versions() == (2,)


async def test_a_new_model_that_raises_on_its_first_batch_gives_way_to_the_old() -> None:
    async with following(Source(1, 2)) as case:
        case.document = Rollout(revision=1, stable=1)
        old = (await case.until_revision(1)).stable
        case.swapper.answered(old)
        case.document = Rollout(revision=2, stable=2)
        new = (await case.until_revision(2)).stable
        assert case.swapper.failed(new, "out of luck")
        # A second batch that was already on its way there is sent elsewhere too.
        assert case.swapper.failed(new, "out of luck")
        serving = case.swapper.serving
        assert serving is not None and serving.stable is old
        assert case.swapper.refused == {2: "it raises: out of luck"}
        await asyncio.sleep(0.1)
        assert case.source.loads == [1, 2]
        assert case.swapper.refused == {2: "it raises: out of luck"}


async def test_a_canary_that_raises_leaves_all_to_the_stable_version() -> None:
    async with following(Source(1, 2)) as case:
        case.document = Rollout(revision=1, stable=1)
        case.swapper.answered((await case.until_revision(1)).stable)
        case.document = Rollout(revision=2, stable=1, canary=Canary(version=2, fraction=0.5))
        canary = (await case.until_revision(2)).canary
        assert canary is not None
        assert case.swapper.failed(canary, "out of luck")
        serving = case.swapper.serving
        assert serving is not None and serving.versions() == (1,)


async def test_a_model_that_has_answered_is_not_blamed_for_a_later_failure() -> None:
    async with following(Source(1, 2)) as case:
        case.document = Rollout(revision=1, stable=1)
        await case.until_revision(1)
        case.document = Rollout(revision=2, stable=2)
        new = (await case.until_revision(2)).stable
        case.swapper.answered(new)
        assert not case.swapper.failed(new, "no memory")
        assert case.swapper.serving is not None
        assert case.swapper.serving.stable is new


async def test_the_only_model_stays_whatever_it_does() -> None:
    async with following(Source(1)) as case:
        case.document = Rollout(revision=1, stable=1)
        only = (await case.until_revision(1)).stable
        assert not case.swapper.failed(only, "no memory")
        assert case.swapper.serving is not None
