"""``hemline dead``: what could not be processed, and another try for it."""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from hemline._place import StateOption
from hemline.commands._output import form_of, print_rows
from hemline.commands._stream import (
    BrokerOption,
    ClassifierOption,
    NamespaceOption,
    Stream,
    find_stream,
)
from hemline_broker import Broker, Delivery, Message, Subscription, connect, new_id
from hemline_runtime import Failure, UsageFailure

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Messages that could not be processed, with the reason.",
)

_ADDED: Final = ("deadreason", "deadtopic", "deadattempt")
_REPLAYED: Final = "replay"
_PATIENCE: Final = 10.0


@app.command(name="list")
def list_letters(
    state: StateOption = None,
    broker: BrokerOption = None,
    classifier: ClassifierOption = None,
    namespace: NamespaceOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object each.")] = False,
) -> None:
    """List dead letters, the newest last.

    Example: hemline dead list
    """
    stream = find_stream(state, broker, classifier, namespace)
    rows = asyncio.run(_summaries(stream, limit))
    print_rows(
        ("id", "sent", "topic", "bytes", "reason"), rows, form_of(as_json=as_json, as_csv=False)
    )
    if not rows and not as_json:
        print(f"no dead letters on {stream.topics.dead}")


@app.command()
def show(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `hemline dead list` shows it.")],
    state: StateOption = None,
    broker: BrokerOption = None,
    classifier: ClassifierOption = None,
    namespace: NamespaceOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the original bytes to this file.")] = None,
) -> None:
    """Show one dead letter: where it came from, why it is here, and how its bytes begin.

    Examples: hemline dead show 42 · hemline dead show 42 --out broken.png
    """
    stream = find_stream(state, broker, classifier, namespace)
    message = asyncio.run(_find(stream, [identity]))[identity]
    if out is not None:
        try:
            out.write_bytes(message.data)
        except OSError as error:
            raise UsageFailure(f"{out}: {error.strerror or error}") from error
        print(f"{len(message.data):,} bytes written to {out}")
        return
    facts = {
        "id": message.id,
        "reason": message.extensions.get("deadreason", "?"),
        "topic": message.extensions.get("deadtopic", "?"),
        "attempt": message.extensions.get("deadattempt", "?"),
        "sent": message.time.isoformat(),
        "source": message.source,
        "content type": message.content_type or "none",
        "bytes": f"{len(message.data):,}",
        # repr keeps control characters away from the terminal
        "begins": repr(message.data[:64]),
    }
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


@app.command()
def replay(
    identities: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Which ones.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that have not been replayed yet.")
    ] = False,
    state: StateOption = None,
    broker: BrokerOption = None,
    classifier: ClassifierOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Send dead letters to the topic they came from once more, as they were.

    With --all each letter is replayed once, however often the command runs. What fails again comes back as a new
    letter.

    Examples: hemline dead replay 42 · hemline dead replay --all
    """
    if bool(identities) == everything:
        raise UsageFailure("expected ids, as `hemline dead list` shows them, or --all")
    stream = find_stream(state, broker, classifier, namespace)
    if everything:
        number = asyncio.run(_replay_all(stream))
    else:
        number = asyncio.run(_replay_some(stream, list(dict.fromkeys(identities or ()))))
    print(f"{number:,} sent again")


def original(letter: Message, stream: Stream) -> tuple[str, Message]:
    """The topic a letter came from, and the message as it was there.

    Raises:
        Failure: it does not say, or names a topic of somebody else.
    """
    topic = letter.extensions.get("deadtopic", "")
    if topic not in (stream.topics.images, stream.topics.labels, stream.topics.predictions):
        raise Failure(
            f"dead letter {letter.id} came from {topic or 'an unknown topic'}, which is no topic of this classifier"
        )
    extensions = {name: value for name, value in letter.extensions.items() if name not in _ADDED}
    message = Message(
        letter.data,
        key=letter.key,
        id=letter.id,
        type=letter.type,
        source=letter.source,
        time=letter.time,
        content_type=letter.content_type,
        extensions=extensions,
        headers=letter.headers,
    )
    return topic, message


async def _summaries(stream: Stream, limit: int) -> list[tuple[str, str, str, int, str]]:
    newest: deque[tuple[str, str, str, int, str]] = deque(maxlen=limit)
    async with connect(stream.broker) as broker:
        async for message in _letters(broker, stream):
            newest.append(
                (
                    message.id,
                    f"{message.time:%Y-%m-%d %H:%M:%S}",
                    message.extensions.get("deadtopic", "?"),
                    len(message.data),
                    message.extensions.get("deadreason", "?"),
                )
            )
    return list(newest)


async def _find(stream: Stream, identities: Sequence[str]) -> dict[str, Message]:
    """The newest letter of each id.

    Raises:
        Failure: there is none of some id.
    """
    found: dict[str, Message] = {}
    async with connect(stream.broker) as broker:
        async for message in _letters(broker, stream):
            if message.id in identities:
                found[message.id] = message
    for identity in identities:
        if identity not in found:
            raise Failure(
                f"no dead letter {identity!r} on {stream.topics.dead}; see `hemline dead list`"
            )
    return found


async def _replay_some(stream: Stream, identities: Sequence[str]) -> int:
    letters = (await _find(stream, identities)).values()
    async with connect(stream.broker) as broker:
        for letter in letters:
            topic, message = original(letter, stream)
            await broker.send(topic, message)
    return len(letters)


async def _replay_all(stream: Stream) -> int:
    number = 0
    dead = stream.topics.dead
    async with connect(stream.broker) as broker:
        await broker.ensure(dead, _REPLAYED, start="oldest")
        async with broker.subscribe(dead, group=_REPLAYED) as subscription:
            async for delivery in _all_there_is(subscription):
                try:
                    topic, message = original(delivery.message, stream)
                except Failure as error:
                    print(f"left out: {error}", file=sys.stderr)
                else:
                    await broker.send(topic, message)
                    number += 1
                delivery.ack()
            await subscription.settled()
    return number


async def _letters(broker: Broker, stream: Stream) -> AsyncIterator[Message]:
    """Every letter, oldest first, read by a group that nobody else has."""
    dead, group = stream.topics.dead, f"list-{new_id()}"
    await broker.ensure(dead)
    await broker.ensure(dead, group, start="oldest")
    try:
        async with broker.subscribe(dead, group=group) as subscription:
            async for delivery in _all_there_is(subscription):
                yield delivery.message
                delivery.ack()
    finally:
        await broker.forget(dead, group)


async def _all_there_is(subscription: Subscription) -> AsyncIterator[Delivery]:
    """What the group has not been handed yet, and then an end instead of waiting for more."""
    left = await subscription.lag()
    deliveries = aiter(subscription)
    while left > 0:
        try:
            async with asyncio.timeout(_PATIENCE):
                delivery = await anext(deliveries)
        except (TimeoutError, StopAsyncIteration):
            return  # the rest was deleted by age, or another reader of this group holds it
        yield delivery
        left -= 1
