"""The client against the in-memory broker; `answering` stands for inference, so that it can misbehave."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hemline_api.events import IMAGE_TYPE, LABEL_TYPE, Label
from hemline_broker import Broker, Message, connect
from hemline_client_sim import (
    Header,
    Phases,
    Schedule,
    Status,
    Stream,
    audit,
    read_journal,
)
from hemline_client_sim._client import Client
from hemline_client_sim._ledger import open_ledger
from hemline_client_sim._options import Limits, Options
from hemline_model import Dataset

Answering = Callable[..., contextlib.AbstractAsyncContextManager[list[Message]]]
MakePrediction = Callable[[str, int], Message]


def options(books: Path, **changes: object) -> Options:
    values: dict[str, object] = {
        "run": "r1",
        "classifier": "mnist",
        "namespace": "",
        "data": "tiny",
        "schedule": Schedule(seed=3, rate=400.0, label_delay=0.05),
        "drifts": (),
        "phases": Phases(),
        "books": books,
        "limits": Limits(count=60, drain=60.0),
    }
    return Options(**(values | changes))  # type: ignore[arg-type]


class Until:
    """Waits for the first status of which something is true."""

    def __init__(self, reached: Callable[[Status], bool]) -> None:
        self._reached = reached
        self._event = asyncio.Event()

    def __call__(self, status: Status) -> None:
        if self._reached(status):
            self._event.set()

    async def wait(self, running: "asyncio.Task[Status]") -> None:
        waiting = asyncio.create_task(self._event.wait())
        await asyncio.wait((waiting, running), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self._event.is_set():
            raise AssertionError(f"the run ended too early: {running.result()}")


def client(
    broker: Broker,
    made: Options,
    dataset: Dataset,
    *,
    until: Callable[[Status], None] = lambda _: None,
    **stream: float,
) -> Client:
    header = Header(
        run=made.run,
        classifier="mnist",
        data="tiny",
        seed=3,
        drifts=made.drifts,
        started=time.time(),
    )
    ledger = open_ledger(
        made.journal, header, window=50, resume=made.resume and made.journal.exists()
    )
    made_stream = Stream(dataset, seed=3, phases=made.phases, **stream)
    return Client(broker, made, ledger, made_stream, on_status=until)


async def run_to_end(made: Client) -> Status:
    return await made.run(asyncio.Event())


async def test_a_whole_run_balances(tmp_path: Path, dataset: Dataset, answering: Answering) -> None:
    async with connect("memory:whole") as broker, answering(broker) as received:
        await broker.ensure("mnist.labels", "test")
        status = await run_to_end(client(broker, options(tmp_path / "books.json"), dataset))
        assert (status.sent, status.answered, status.labels, status.scored) == (60, 60, 60, 60)
        assert status.right == 60
        assert status.problems == []
        assert status.balanced
        assert status.counted_twice == 0
        assert Status.model_validate_json((tmp_path / "books.json").read_bytes()) == status
        assert [message.type for message in received] == [IMAGE_TYPE] * 60
        assert all(message.key == message.id for message in received)
        run, index, n = received[7].id.rsplit("-", 2)
        assert run == "r1"
        assert int(index) % 2 == 0
        assert int(n) == 7

        truths = {m.id: int(m.id.rsplit("-", 2)[1]) % 4 for m in received}
        labels: dict[str, Label] = {}
        async with broker.subscribe("mnist.labels", group="test") as subscription:
            async for delivery in subscription:
                assert delivery.message.type == LABEL_TYPE
                label = Label.from_json(delivery.message.data)
                labels[label.id] = label
                delivery.ack()
                if len(labels) == 60:
                    break
        assert {key: label.label for key, label in labels.items()} == truths


async def test_repeats_are_counted_apart(
    tmp_path: Path, dataset: Dataset, answering: Answering
) -> None:
    async with connect("memory:repeats") as broker, answering(broker, copies=3):
        made = options(tmp_path / "books.json", limits=Limits(count=20, drain=60.0))
        status = await run_to_end(client(broker, made, dataset))
    assert (status.sent, status.answered, status.right) == (20, 20, 20)
    assert status.repeats <= 40
    assert status.counted_twice == 0
    assert status.balanced


async def test_a_lost_image_does_not_balance(
    tmp_path: Path, dataset: Dataset, answering: Answering
) -> None:
    async with (
        connect("memory:lost") as broker,
        answering(broker, skip=lambda identity: identity.endswith("-5")),
    ):
        made = options(tmp_path / "books.json", limits=Limits(count=20, drain=2.0))
        status = await run_to_end(client(broker, made, dataset))
    assert status.lost == 1
    assert status.problems == ["1 images were sent and never answered (lost)"]
    assert not status.balanced


async def test_labels_that_are_not_due_at_the_end_are_sent_all_the_same(
    tmp_path: Path, dataset: Dataset, answering: Answering
) -> None:
    made = options(
        tmp_path / "books.json",
        schedule=Schedule(seed=3, rate=400.0, label_delay=100_000.0),
        limits=Limits(count=10, drain=0.2),
    )
    async with connect("memory:late") as broker, answering(broker):
        status = await run_to_end(client(broker, made, dataset))
    assert status.labels == 10
    assert status.balanced


async def test_corrupt_images_come_back_as_dead_letters(
    tmp_path: Path, dataset: Dataset, answering: Answering
) -> None:
    async with connect("memory:corrupt") as broker, answering(broker):
        made = options(tmp_path / "books.json")
        status = await run_to_end(client(broker, made, dataset, corrupt=0.3))
    assert status.corrupt == status.corrupt_refused > 5
    assert status.sent == status.answered == 60 - status.corrupt
    assert status.labels == status.sent
    assert status.balanced


async def test_what_does_not_belong_here_is_told_apart(
    tmp_path: Path, dataset: Dataset, answering: Answering, prediction: MakePrediction
) -> None:
    async with connect("memory:strays") as broker, answering(broker):
        await broker.ensure("mnist.predictions")
        strays = [
            prediction("someone-else", 0),
            prediction("r1-4-99999", 0),
            prediction("r1-nonsense", 0),
            Message(b"no json", key="x", source="test"),
        ]
        begun = Until(lambda status: status.state == "streaming")
        made = options(tmp_path / "books.json", schedule=Schedule(seed=3, rate=60, label_delay=0))
        running = asyncio.create_task(run_to_end(client(broker, made, dataset, until=begun)))
        await begun.wait(running)
        await broker.send_many("mnist.predictions", strays)
        status = await running
    assert (status.foreign, status.unknown, status.malformed) == (1, 2, 1)
    assert status.answered == 60
    assert len(status.problems) == 2


async def test_a_stopped_run_drains_and_balances(
    tmp_path: Path, dataset: Dataset, answering: Answering
) -> None:
    made = options(tmp_path / "books.json", limits=Limits(drain=60.0))
    async with connect("memory:stopped") as broker, answering(broker):
        answered = Until(lambda status: status.answered >= 10)
        stop = asyncio.Event()
        running = asyncio.create_task(client(broker, made, dataset, until=answered).run(stop))
        await answered.wait(running)
        stop.set()
        status = await running
    assert status.ended == "signal"
    assert status.sent == status.answered == status.labels >= 10
    assert status.balanced


async def test_a_run_ends_after_its_duration(
    tmp_path: Path, dataset: Dataset, answering: Answering
) -> None:
    # A run may have dots in its name, which the broker's groups may not.
    made = options(tmp_path / "books.json", run="night.2", limits=Limits(duration=0.5, drain=60.0))
    async with connect("memory:duration") as broker, answering(broker):
        status = await run_to_end(client(broker, made, dataset))
    assert status.ended == "duration"
    assert status.balanced


@pytest.mark.parametrize("after", [3, 25])
async def test_a_killed_run_goes_on_where_it_was(
    tmp_path: Path, dataset: Dataset, answering: Answering, after: int
) -> None:
    """Cancelling is what a kill leaves behind: a journal, and a group that has not acknowledged everything."""
    async with connect("memory:killed") as broker, answering(broker) as received:
        schedule = Schedule(seed=3, rate=30.0, label_delay=0.05)
        made = options(tmp_path / "books.json", resume=True, schedule=schedule)
        sent = Until(lambda status: status.sent >= after)
        first = client(broker, made, dataset, until=sent)
        running = asyncio.create_task(run_to_end(first))
        await sent.wait(running)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        first._ledger.journal.__exit__(None, None, None)
        status = await run_to_end(client(broker, made, dataset))
    assert (status.sent, status.answered, status.scored, status.right) == (60, 60, 60, 60)
    assert status.labels == 60
    assert status.balanced
    assert len({message.id for message in received}) == 60
    _, events = read_journal(made.journal)
    assert audit(events).answered == 60


async def test_an_image_that_may_not_have_left_is_sent_again_as_it_was(
    tmp_path: Path, dataset: Dataset, answering: Answering
) -> None:
    made = options(tmp_path / "books.json", resume=True, limits=Limits(count=5, drain=60.0))
    async with connect("memory:again") as broker, answering(broker) as received:
        status = await run_to_end(client(broker, made, dataset))
        assert status.balanced
        # The last lines are the receipts: without them nobody knows that the images left.
        lines = made.journal.read_bytes().splitlines(keepends=True)
        kept = [lines[0], *(line for line in lines if line.startswith(b'["p",'))]
        made.journal.write_bytes(b"".join(kept))
        bodies = {message.id: message.data for message in received}
        again = await run_to_end(client(broker, made, dataset))
    assert again.sent == again.answered == 5
    assert again.balanced
    assert len(received) == 10
    assert all(bodies[message.id] == message.data for message in received)
