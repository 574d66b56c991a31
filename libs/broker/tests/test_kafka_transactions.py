"""How a Kafka transaction ends, and what its caller is told: it took effect, it did not, or nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException

from hemline_broker import (
    BrokerError,
    Closed,
    Denied,
    InvalidMessage,
    Message,
    TransactionAborted,
    Unavailable,
)
from hemline_broker._kafka import _transactions
from hemline_broker._kafka._transactions import Transactor, _Unknown
from hemline_broker._observer import Observer
from hemline_broker._transaction import transacting
from hemline_broker.testing import Harness, numbered


def _error(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


class _Producer:
    """A transactional producer that fails where it is told to."""

    made: ClassVar[list[_Producer]] = []
    failing: ClassVar[dict[str, Exception]] = {}

    def __init__(self, configuration: object, logger: object) -> None:
        self.calls: list[str] = []
        self.made.append(self)

    def __len__(self) -> int:
        return 0

    def _do(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise self.failing[name]

    def init_transactions(self, timeout: float) -> None:
        self._do("init")

    def begin_transaction(self) -> None:
        self._do("begin")

    def produce(self, *arguments: object, **named: object) -> None:
        self._do("produce")

    def send_offsets_to_transaction(self, *arguments: object) -> None:
        self._do("offsets")

    def commit_transaction(self, timeout: float) -> None:
        self._do("commit")

    def abort_transaction(self, timeout: float) -> None:
        self._do("abort")

    def poll(self, timeout: float) -> None: ...

    def purge(self) -> None:
        self._do("purge")


class _Source:
    """A consumer that notes what it is told about a transaction."""

    def __init__(self, *, took_effect: bool | Exception = False) -> None:
        self.told: list[str] = []
        self.failing: dict[str, BrokerError] = {}
        self._took_effect = took_effect

    def _note(self, name: str) -> None:
        self.told.append(name)
        if name in self.failing:
            raise self.failing[name]

    async def enlist(self, deliveries: Sequence[object]) -> tuple[list[Any], None]:
        self._note("enlist")
        return [], None

    async def delist(self) -> None:
        self._note("delist")

    async def doubt(self, deliveries: Sequence[object]) -> None:
        self._note("doubt")

    async def committed_by_transaction(self, deliveries: Sequence[object]) -> None:
        self._note("committed")

    async def took_effect(self, deliveries: Sequence[object]) -> bool:
        self._note("took effect?")
        if isinstance(self._took_effect, Exception):
            raise self._took_effect
        return self._took_effect


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception]:
    """The producer's call → what it raises."""
    found: dict[str, Exception] = {}
    monkeypatch.setattr(_Producer, "made", [])
    monkeypatch.setattr(_Producer, "failing", found)
    monkeypatch.setattr(_transactions, "Producer", _Producer)
    return found


async def _transact(source: Any, transactor: Transactor | None = None) -> None:
    deliveries: Any = [object()]
    used = transactor or Transactor({}, "id")
    await used.transact({"topic": [Message(b"x")]}, source, deliveries, 1.0)


async def test_an_end_that_nobody_knows_is_unavailable(failing: dict[str, Exception]) -> None:
    """The commit is not answered, and the brokers cannot be asked either: no raw error, and nothing is given away."""
    transactor, source = Transactor({}, "id"), _Source()
    await transactor._call(transactor._ready)
    failing["commit"] = _error(KafkaError._TRANSPORT)
    failing["init"] = _error(KafkaError._TIMED_OUT)
    with pytest.raises(Unavailable, match="how the transaction ended") as caught:
        await _transact(source, transactor)
    assert caught.value.retryable
    assert source.told == ["enlist", "doubt"]
    # The next one begins with a producer of its own.
    failing.clear()
    await _transact(source, transactor)
    assert len(_Producer.made) == 3
    assert _Producer.made[-1].calls == ["init", "begin", "produce", "offsets", "commit"]


@pytest.mark.parametrize("problem", [Unavailable("silence"), TransactionAborted("gone")])
async def test_offsets_that_nobody_tells_leave_the_end_unknown(
    failing: dict[str, Exception], problem: Exception
) -> None:
    failing["commit"] = _error(KafkaError._TRANSPORT)
    source = _Source(took_effect=problem)
    with pytest.raises(Unavailable, match="cannot be found out"):
        await _transact(source)
    assert source.told == ["enlist", "took effect?", "doubt"]


@pytest.mark.parametrize("took_effect", [True, False])
async def test_an_end_that_the_brokers_know_of_is_asked_for(
    failing: dict[str, Exception], took_effect: bool
) -> None:
    failing["commit"] = _error(KafkaError._TRANSPORT)
    source = _Source(took_effect=took_effect)
    if took_effect:
        await _transact(source)
        assert source.told[2:] == ["committed"]
    else:
        with pytest.raises(TransactionAborted):
            await _transact(source)
        assert source.told[2:] == ["delist"]


async def test_a_commit_is_one_though_its_consumer_failed(failing: dict[str, Exception]) -> None:
    source = _Source()
    source.failing["committed"] = Closed("the consumer has ended")
    await _transact(source)
    assert source.told == ["enlist", "committed"]


@pytest.mark.parametrize("where", ["init", "begin", "produce", "offsets"])
async def test_before_the_commit_nothing_took_effect(
    failing: dict[str, Exception], where: str
) -> None:
    """Retryable, and not as `Unavailable`, which would leave it open."""
    failing[where] = _error(KafkaError._TRANSPORT)
    source = _Source()
    with pytest.raises(TransactionAborted) as caught:
        await _transact(source)
    assert isinstance(caught.value.__cause__, KafkaException)
    assert source.told[-1] == "delist"


async def test_a_consumer_that_cannot_take_part_aborts(failing: dict[str, Exception]) -> None:
    source = _Source()
    source.failing["enlist"] = Unavailable("the brokers refuse a commit")
    with pytest.raises(TransactionAborted, match="refuse a commit"):
        await _transact(source)
    source.failing["enlist"] = Closed("the consumer has ended")
    with pytest.raises(Closed):
        await _transact(source)


async def test_a_refusal_is_told_as_what_it_is(failing: dict[str, Exception]) -> None:
    failing["begin"] = _error(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    with pytest.raises(Denied):
        await _transact(_Source())
    del failing["begin"]
    failing["produce"] = ValueError("no such header")
    with pytest.raises(InvalidMessage, match="no such header"):
        await _transact(_Source())


async def test_a_producer_that_cannot_abort_is_given_up(failing: dict[str, Exception]) -> None:
    transactor = Transactor({}, "id")
    failing["offsets"] = failing["abort"] = failing["purge"] = _error(KafkaError._FATAL)
    with pytest.raises(TransactionAborted):
        await _transact(_Source(), transactor)
    assert transactor._producer is None


async def test_a_closed_broker_transacts_no_more(failing: dict[str, Exception]) -> None:
    transactor = Transactor({}, "id")
    await transactor.close()
    with pytest.raises(Closed):
        await _transact(_Source(), transactor)
    await transactor.close()


class _Driver:
    """Transacts when the test lets it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.end = asyncio.Event()

    async def transact(self, *_: object) -> None:
        self.begun.set()
        await self.end.wait()


class _Subscription:
    """Notes what becomes of the deliveries."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.end = asyncio.Event()

    def joined(self) -> None: ...

    def settle_enlisted(self, deliveries: object) -> None:
        self.told.append("settled")
        self.end.set()

    def rewind(self, deliveries: object) -> None:
        self.told.append("rewound")
        self.end.set()


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_callers_change_nothing_about_the_end(times: int) -> None:
    """However often whoever waits is cancelled, the deliveries are settled when the transaction took effect."""
    driver, subscription = _Driver(), _Subscription()
    used: tuple[Any, Any] = (driver, subscription)

    async def work() -> None:
        async with transacting(*used, 1 << 20, Observer(), 30.0) as transaction:
            transaction.send("topic", Message(b"x"))

    task = asyncio.create_task(work())
    await driver.begun.wait()
    for _ in range(times):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    assert subscription.told == []
    driver.end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        await subscription.end.wait()
    assert subscription.told == ["settled"]


# --- against real brokers ------------------------------------------------------------------------------------


def _silenced(transactor: Transactor, *, commits: bool) -> Callable[[float], None]:
    """A commit that takes effect or does not, after which nobody hears from the brokers for one attempt."""
    commit, ready = transactor._commit, transactor._ready

    def never_again() -> Any:
        del transactor._ready  # type: ignore[misc] # what hides the method
        raise _error(KafkaError._TIMED_OUT)

    def silent(deadline: float) -> None:
        del transactor._commit  # type: ignore[misc]
        if commits:
            commit(deadline)
        transactor._ready = never_again  # type: ignore[method-assign]
        raise _Unknown(KafkaError(KafkaError._TIMED_OUT))

    assert ready() is transactor._producer
    return silent


@pytest.mark.kafka
@pytest.mark.timeout(300)
@pytest.mark.parametrize("commits", [True, False])
async def test_after_an_unknown_end_comes_what_was_not_committed(
    kafka_url: str, commits: bool
) -> None:
    """Exactly once though nobody knows: the brokers say where to read on when they have ended the transaction."""
    harness = Harness(kafka_url, patience=90.0)
    async with harness.topic("group") as (broker, topic), harness.topic("reader") as (_, target):
        await broker.send_many(topic, numbered(8))
        async with broker.subscribe(topic, group="group") as inputs:
            async with broker.transaction(inputs) as transaction:
                transaction.ack([await harness.one(inputs), await harness.one(inputs)])
            (transactor,) = broker._driver._transactors.values()
            taken = [await harness.one(inputs) for _ in range(3)]
            transactor._commit = _silenced(transactor, commits=commits)
            with pytest.raises(Unavailable, match="cannot be found out"):
                async with broker.transaction(inputs) as transaction:
                    transaction.send_many(target, [each.message for each in taken])
                    transaction.ack(taken)
            # They answer again: the next one of the same id ends what was left open.
            await transactor._call(transactor._ready)
            first = 5 if commits else 2
            rest = [await harness.one(inputs) for _ in range(first, 8)]
            assert [each.message.data for each in rest] == [b"%d" % n for n in range(first, 8)]
            async with broker.transaction(inputs) as transaction:
                transaction.send_many(target, [each.message for each in rest])
                transaction.ack(rest)
            assert await inputs.lag() <= 1
        async with broker.subscribe(target, group="reader") as outputs:
            copied = await harness.take(outputs, 6)
            assert [each.message.data for each in copied] == [b"%d" % n for n in range(2, 8)]
            await harness.nothing(outputs)
