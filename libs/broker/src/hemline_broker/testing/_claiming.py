# ruff: noqa: S101 - a conformance suite asserts
"""Behaviours of the claim check: large bodies in an object store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from hemline_broker import (
    ClaimCheck,
    InvalidMessage,
    InvalidOption,
    Message,
    NotFound,
    Observer,
)
from hemline_broker.claims import sweep
from hemline_broker.testing._behaviour import named
from hemline_broker.testing._failing import dead_topic
from hemline_broker.testing._harness import Harness, bodies

_ABOVE = 10_000


class Claiming:
    """Mix into a test class that has a fixture `harness`. Needs the extra `claim-check`."""

    async def test_claim_check(self, harness: Harness, tmp_path: Path) -> None:
        """Large bodies travel through the store, small ones do not; nobody can tell from the messages."""
        claims = ClaimCheck((tmp_path / "claims").as_uri(), above=_ABOVE)
        async with harness.topic("group", ordered=True, claim_check=claims) as (broker, topic):
            messages = [
                Message(bytes([n]) * (20_000 if n % 3 == 0 else 10), key="k", extensions={"e": "v"})
                for n in range(12)
            ]
            receipts = await broker.send_many(topic, messages)
            assert [each.id for each in receipts] == [each.id for each in messages]
            assert len(_objects(tmp_path / "claims")) == 4
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 12)
                assert [each.message for each in taken] == messages
                for delivery in taken:
                    delivery.ack()
                await subscription.settled()
                await harness.nothing(subscription)

    @named("C6")
    async def test_claim_check_keeps_bounds(self, harness: Harness, tmp_path: Path) -> None:
        """No more bodies are fetched than `in_flight_bytes` allows, give or take one."""
        claims = ClaimCheck((tmp_path / "claims").as_uri(), above=_ABOVE)
        size = 500_000
        async with harness.topic("group", claim_check=claims) as (broker, topic):
            await broker.send_many(topic, [Message(bytes(size)) for _ in range(8)])
            async with broker.subscribe(
                topic, group="group", in_flight_bytes=2 * size
            ) as subscription:
                held = await harness.take(subscription, 2)
                more = await harness.rest(subscription)
                assert len(held) + len(more) <= 3
                for delivery in (*held, *more):
                    delivery.ack()
                for _ in range(8 - len(held) - len(more)):
                    (await harness.one(subscription)).ack()
                await subscription.settled()

    @named("C16")
    async def test_claim_check_body_gone(self, harness: Harness, tmp_path: Path) -> None:
        """A body that was deleted, or changed, makes a dead letter that says so; the rest goes on."""
        counted: list[str] = []

        class Counts(Observer):
            def dead(self, topic: str, reason: str) -> None:
                counted.append(reason)

        claims = ClaimCheck((tmp_path / "claims").as_uri(), above=_ABOVE)
        async with (
            harness.topic("group", claim_check=claims, observer=Counts()) as (broker, topic),
            dead_topic(broker) as dead,
        ):
            gone, changed = Message(bytes(20_000), key="gone"), Message(bytes(20_001), key="bad")
            for message in (gone, changed, Message(b"good"), Message(b"x" * 20_000)):
                await broker.send(topic, message)
            for path in _objects(tmp_path / "claims"):
                if path.stat().st_size == 20_001:
                    path.write_bytes(bytes(20_000) + b"!")
                elif path.read_bytes().startswith(b"\x00"):
                    path.unlink()
            async with broker.subscribe(topic, group="group", dead_letter=dead) as subscription:
                taken = await harness.take(subscription, 2)
                assert {len(body) for body in bodies(taken)} == {4, 20_000}
                for delivery in taken:
                    delivery.ack()
                await harness.until_done(subscription, lambda: len(counted) == 2)
                await subscription.settled()
            assert counted == ["body-gone", "body-gone"]
            async with broker.subscribe(dead, group="reader") as letters:
                found = {each.message.id: each.message for each in await harness.take(letters, 2)}
            assert "BodyGone" in found[gone.id].extensions["deadreason"]
            assert "deleted" in found[gone.id].extensions["deadreason"]
            assert "SHA-256" in found[changed.id].extensions["deadreason"]
            assert found[gone.id].key == "gone"
            assert found[gone.id].extensions["dataref"].startswith(claims.uri)

    async def test_claim_check_reads_its_own_place_only(
        self, harness: Harness, tmp_path: Path
    ) -> None:
        """A message that names a file elsewhere makes a dead letter, and the file is not read."""
        claims = ClaimCheck((tmp_path / "claims").as_uri(), above=_ABOVE)
        secret = tmp_path / "secret"
        secret.write_bytes(b"secret")
        async with (
            harness.topic("group", claim_check=claims) as (broker, topic),
            dead_topic(broker) as dead,
        ):
            with pytest.raises(InvalidMessage, match="datarefsha256"):
                await broker.send(topic, Message(b"", extensions={"datarefsha256": "x"}))
            forged = Message(
                b"",
                extensions={
                    "dataref": f"{claims.uri}/../secret",
                    "datarefsha256": "0" * 64,
                    "datarefsize": "6",
                },
            )
            await broker._driver.send(topic, [forged], 30)
            async with broker.subscribe(topic, group="group", dead_letter=dead) as subscription:
                await harness.until_done(subscription, lambda: True)
                async with broker.subscribe(dead, group="reader") as letters:
                    letter = (await harness.one(letters)).message
            assert letter.data == b""
            assert "nothing else is read" in letter.extensions["deadreason"]

    async def test_claim_check_that_the_reader_lacks(
        self, harness: Harness, tmp_path: Path
    ) -> None:
        """Whoever reads without the claim check gets an error, never an empty body; the message waits."""
        claims = ClaimCheck((tmp_path / "claims").as_uri(), above=_ABOVE)
        message = Message(bytes(20_000))
        async with harness.topic("group", claim_check=claims) as (broker, topic):
            await broker.send(topic, message)
            if "claim_check=" not in harness.url:
                async with (
                    harness.connect() as bare,
                    bare.subscribe(topic, group="group") as subscription,
                ):
                    with pytest.raises(InvalidOption, match="claim_check"):
                        await harness.one(subscription)
            async with broker.subscribe(topic, group="group") as subscription:
                assert (await harness.one(subscription)).message == message

    async def test_claim_check_dead_letter(self, harness: Harness, tmp_path: Path) -> None:
        """A large message can become a dead letter, which is as large."""
        claims = ClaimCheck((tmp_path / "claims").as_uri(), above=_ABOVE)
        message = Message(bytes(20_000))
        async with (
            harness.topic("group", claim_check=claims) as (broker, topic),
            dead_topic(broker) as dead,
        ):
            await broker.send(topic, message)
            async with broker.subscribe(topic, group="group", dead_letter=dead) as subscription:
                (await harness.one(subscription)).reject("useless")
                await subscription.settled()
            async with broker.subscribe(dead, group="reader") as letters:
                assert (await harness.one(letters)).message.data == message.data

    @named("C16")
    async def test_claim_check_leaves_no_orphan_of_a_failed_send(
        self, harness: Harness, tmp_path: Path
    ) -> None:
        """The body of a message that surely was not sent is deleted; others go with the sweep, by age."""
        claims = ClaimCheck((tmp_path / "claims").as_uri(), above=_ABOVE)
        async with harness.topic("group", claim_check=claims) as (broker, topic):
            with pytest.raises(NotFound):
                await broker.send("no-such-topic", Message(bytes(20_000)))
            assert _objects(tmp_path / "claims") == []
            await broker.send(topic, Message(bytes(20_000)))
            assert await sweep(claims.uri, timedelta(hours=1)) == (0, 0)
            (tmp_path / "claims" / "somebody-elses").write_bytes(b"x")
            assert await sweep(claims.uri, timedelta(0)) == (1, 20_000)
            assert _objects(tmp_path / "claims") == [tmp_path / "claims" / "somebody-elses"]


def _objects(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
