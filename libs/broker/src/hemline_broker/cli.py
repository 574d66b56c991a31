"""`hemline broker`: look at topics, send and read messages, find settings that would lose one. Extra `cli`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from hemline_broker import Broker, Message, NotFound
from hemline_broker._backend import TopicInfo
from hemline_broker._check import Report, check_broker
from hemline_broker._cli_run import existing, finish, read, with_broker, wrong
from hemline_broker._cli_text import age, delivery_line, pair, table

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Send, read and inspect messages on any broker that hemline-broker knows: kafka://host:9092, "
    "pubsub://project, sqlite:///broker.db. Exit codes: 0 done, 1 the broker refused or does not answer or `check` "
    "found something, 2 wrong usage.",
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

    Prints the id and the position of each when it is durable.
    Try: hemline broker send sqlite:///broker.db notes README.md --content-type text/markdown
    """
    try:
        headers = dict(map(pair, header or ()))
    except ValueError as error:
        raise wrong(error) from error
    for path in files or ():
        if not path.is_file():
            raise wrong(ValueError(f"{path} is no file"))

    async def work(broker: Broker) -> None:
        for path in files or (None,):
            body = sys.stdin.buffer.read() if path is None else read(path)
            message = Message(body, key=key, content_type=content_type, headers=headers)
            receipt = await broker.send(topic, message)
            typer.echo(f"{receipt.id} at {receipt.position}")

    with_broker(existing(url), work)


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
                    typer.echo(delivery_line(delivery))
                    delivery.ack()
                    shown += 1
                    if shown == count:
                        break
        finally:
            await broker.forget(topic, group)

    with_broker(existing(url), work)


@app.command()
def lag(
    url: URL,
    topic: Annotated[str | None, typer.Argument(help="Only this topic.")] = None,
) -> None:
    """What each group has yet to acknowledge; ? where the backend does not tell.

    Try: hemline broker lag kafka://localhost:9092
    """

    async def work(broker: Broker) -> None:
        rows = [
            (info.name, group, "?" if behind is None else f"{behind:,}")
            for info in await _topics(broker, topic)
            for group, behind in sorted(info.groups.items())
        ]
        typer.echo(table(("topic", "group", "not acknowledged"), rows))

    with_broker(existing(url), work)


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
        typer.echo(table(("topic", "partitions", "messages", "groups"), rows))

    with_broker(existing(url), work)


@app.command()
def ensure(
    url: URL,
    topic: Topic,
    group: Annotated[str | None, typer.Argument(help="A group to make as well.")] = None,
    partitions: Annotated[int, typer.Option(min=1, help="Of a new topic, where it has any.")] = 1,
    start: Annotated[
        Literal["new", "oldest"], typer.Option(help="Where a new group begins to read.")
    ] = "new",
    ordered: Annotated[
        bool, typer.Option("--ordered", help="Messages of one key must keep their order.")
    ] = False,
) -> None:
    """Make a topic, and a group, where they do not exist yet; changes nothing that exists.

    Try: hemline broker ensure sqlite:///broker.db notes readers
    """

    async def work(broker: Broker) -> None:
        await broker.ensure(topic, group, partitions=partitions, start=start, ordered=ordered)

    with_broker(url, work)


@app.command()
def check(
    url: URL,
    topic: Annotated[list[str] | None, typer.Argument(help="Only these topics.")] = None,
) -> None:
    """Name each setting of the broker or of a topic that would refuse a 15 MB message or lose one.

    Ends with 1 if there is any. With a claim check (`?claim_check=…` or HEMLINE_BROKER_CLAIM_CHECK) large bodies need
    no room on the broker. Try: hemline broker check kafka://localhost:9092
    """
    reports: list[Report] = []

    async def work(broker: Broker) -> None:
        reports.append(await check_broker(broker, topic))

    with_broker(existing(url), work)
    for report in reports:
        for finding in report.findings:
            typer.echo(f"{finding.where}: {finding.problem}\n    mend it: {finding.mend}")
        if report.findings:
            raise typer.Exit(1)
        typer.echo(f"nothing found that would refuse or lose a message ({report.looked_at})")


@app.command()
def sweep(
    place: Annotated[
        str,
        typer.Argument(
            help="The claim check: file:///folder, s3://bucket/prefix or gs://bucket/prefix.",
            show_default=False,
        ),
    ],
    older_than: Annotated[
        str,
        typer.Option(
            help="Age such as 12h, 8d or 2w; more than the broker keeps messages.",
            show_default=False,
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
) -> None:
    """Remove the bodies of a claim check that were stored longer ago than an age. Run it daily.

    Bodies are shared by all groups, so none goes when its message is acknowledged.
    Try: hemline broker sweep file:///var/claims --older-than 8d --dry-run
    """
    try:
        limit = age(older_than)
    except ValueError as error:
        raise wrong(ValueError(f"--older-than: {error}")) from error

    async def work() -> None:
        from hemline_broker import claims

        count, size = await (claims.expired if dry_run else claims.sweep)(place, limit)
        done = "would be removed" if dry_run else "removed"
        typer.echo(f"{count:,} bodies of {size:,} bytes {done}, older than {older_than}")

    finish(work)


async def _topics(broker: Broker, only: str | None) -> Sequence[TopicInfo]:
    found = await broker.topics(None if only is None else (only,))
    if only is not None and not found:
        raise NotFound(f"topic {only!r} does not exist")
    return found
