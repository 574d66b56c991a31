"""`hemline broker`: look at topics, send and read messages, find settings that would lose one. Extra `cli`."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hemline_broker import (
    Broker,
    BrokerError,
    Delivery,
    Message,
    connect,
)
from hemline_broker._check import Finding, check_broker

__all__ = ["app"]

_TEXT_SHOWN = 200

app = typer.Typer(
    no_args_is_help=True,
    help="Send, read and inspect messages on any broker that hemline-broker knows: "
    "kafka://host:9092, sqlite:///broker.db.",
)

URL = Annotated[
    str,
    typer.Argument(
        help="Broker, such as kafka://localhost:9092 or sqlite:///broker.db.", show_default=False
    ),
]
Topic = Annotated[str, typer.Argument(help="Name of the topic.", show_default=False)]


@app.command()
def send(
    url: URL,
    topic: Topic,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files to send, one message each; none reads stdin.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Key of the messages.")] = None,
    content_type: Annotated[str | None, typer.Option(help="Media type, such as image/png.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="A header as name=value; may be repeated.")
    ] = None,
) -> None:
    """Send files, or what comes on stdin, to a topic that exists.

    Try: hemline broker send sqlite:///broker.db notes README.md --content-type text/markdown
    """
    headers = dict(_pair(each) for each in header or ())
    try:
        data = [path.read_bytes() for path in files] if files else [sys.stdin.buffer.read()]
    except OSError as error:
        raise typer.BadParameter(str(error)) from error

    async def work(broker: Broker) -> None:
        for body in data:
            message = Message(body, key=key, content_type=content_type, headers=headers)
            receipt = await broker.send(topic, message)
            typer.echo(f"{receipt.id} at {receipt.position}")

    _run(url, work)


@app.command()
def tail(
    url: URL,
    topic: Topic,
    oldest: Annotated[
        bool, typer.Option("--oldest", help="Begin with the oldest message.")
    ] = False,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many messages.")
    ] = None,
) -> None:
    """Print the messages of a topic as they come, without taking them from anybody.

    Reads with a group of its own, removed at the end. Try: hemline broker tail sqlite:///broker.db notes --oldest -n 5
    """

    async def work(broker: Broker) -> None:
        group = f"tail-{uuid.uuid4().hex[:8]}"
        shown = 0
        try:
            async with broker.subscribe(
                topic, group=group, start="oldest" if oldest else "new", in_flight=256
            ) as subscription:
                async for delivery in subscription:
                    typer.echo(_line(delivery))
                    delivery.ack()
                    shown += 1
                    if shown == count:
                        break
        finally:
            await broker.forget(topic, group)

    _run(url, work)


@app.command()
def lag(
    url: URL,
    topic: Annotated[str | None, typer.Argument(help="Only this topic.")] = None,
) -> None:
    """What each group has yet to acknowledge.

    Try: hemline broker lag kafka://localhost:9092
    """

    async def work(broker: Broker) -> None:
        rows = [
            (info.name, group, "?" if behind is None else f"{behind:,}")
            for info in await broker.topics()
            if topic is None or info.name == topic
            for group, behind in sorted(info.groups.items())
        ]
        _table(("topic", "group", "not acknowledged"), rows)

    _run(url, work)


@app.command()
def topics(url: URL) -> None:
    """Every topic: partitions, messages held, groups.

    Try: hemline broker topics sqlite:///broker.db
    """

    async def work(broker: Broker) -> None:
        rows = [
            (
                info.name,
                str(info.partitions),
                "?" if info.messages is None else f"{info.messages:,}",
                ", ".join(sorted(info.groups)) or "-",
            )
            for info in await broker.topics()
        ]
        _table(("topic", "partitions", "messages", "groups"), rows)

    _run(url, work)


@app.command()
def check(
    url: URL,
    topic: Annotated[list[str] | None, typer.Argument(help="Only these topics.")] = None,
) -> None:
    """Name each setting of the broker or of a topic that would refuse a 15 MB message or lose one.

    Ends with 1 if there is any. Try: hemline broker check kafka://localhost:9092
    """
    findings: list[Finding] = []

    async def work(broker: Broker) -> None:
        findings.extend(await check_broker(broker, topic))

    _run(url, work)
    for finding in findings:
        typer.echo(f"{finding.where}: {finding.problem}\n    mend it: {finding.mend}")
    if findings:
        raise typer.Exit(1)
    typer.echo("nothing found that would refuse or lose a message")


def _run(url: str, work: Any) -> None:
    async def connected() -> None:
        async with connect(url) as broker:
            await work(broker)

    job: Coroutine[Any, Any, None] = connected()
    try:
        asyncio.run(job)
    except BrokerError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"expected name=value, got {text!r}")
    return name, value


def _line(delivery: Delivery) -> str:
    message = delivery.message
    try:
        text = message.data[: 4 * _TEXT_SHOWN].decode()
        body = text if text.isprintable() else repr(text)
    except UnicodeDecodeError:
        body = f"<{len(message.data):,} bytes>"
    if len(body) > _TEXT_SHOWN:
        body = body[:_TEXT_SHOWN] + " …"
    notes = [
        f"{name}={value}"
        for name, value in (
            ("key", message.key),
            ("content-type", message.content_type),
            *message.extensions.items(),
            *message.headers.items(),
        )
        if value is not None
    ]
    head = f"{message.time:%Y-%m-%d %H:%M:%S} {delivery.position} {message.id}"
    return " ".join((head, *notes, body))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        typer.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
