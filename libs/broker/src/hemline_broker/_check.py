"""Settings of a broker or a topic that would refuse a large message, or lose one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hemline_broker._broker import Broker
from hemline_broker._driver import Checks, Driver
from hemline_broker._message import DEFAULT_MAX_MESSAGE_BYTES

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend.

    Attributes:
        where: the topic or broker.
        problem: what would happen, and the value that makes it happen.
        mend: the command or line that changes it.
    """

    where: str
    problem: str
    mend: str


def judge_topic(
    topic: str, settings: Mapping[str, str], replicas: int, brokers: int, servers: str
) -> list[Finding]:
    """What is wrong with a Kafka topic. Pure."""
    alter = " ".join(
        (
            f"kafka-configs.sh --bootstrap-server {servers} --alter",
            f"--entity-type topics --entity-name {topic} --add-config",
        )
    )
    where = f"topic {topic}"
    findings = []
    limit = int(settings.get("max.message.bytes", DEFAULT_MAX_MESSAGE_BYTES))
    if limit < DEFAULT_MAX_MESSAGE_BYTES:
        findings.append(
            Finding(
                where,
                f"max.message.bytes={limit} refuses messages up to {DEFAULT_MAX_MESSAGE_BYTES}",
                f"{alter} max.message.bytes={DEFAULT_MAX_MESSAGE_BYTES}",
            )
        )
    insync = int(settings.get("min.insync.replicas", 1))
    if brokers > 1 and replicas < 2:
        findings.append(
            Finding(
                where,
                "one replica: the loss of one broker's disk loses messages",
                "kafka-reassign-partitions.sh, or make the topic anew with a replication factor of 3",
            )
        )
    if replicas > 2 and insync < 2:
        findings.append(
            Finding(
                where,
                f"min.insync.replicas={insync}: a message counts as durable on one disk",
                f"{alter} min.insync.replicas=2",
            )
        )
    if settings.get("unclean.leader.election.enable") == "true":
        findings.append(
            Finding(
                where,
                "unclean.leader.election.enable=true: a stale replica may become leader, and messages vanish",
                f"{alter} unclean.leader.election.enable=false",
            )
        )
    retention = int(settings.get("retention.ms", -1))
    if 0 <= retention < DAY_MS and "delete" in settings.get("cleanup.policy", "delete"):
        findings.append(
            Finding(
                where,
                f"retention.ms={retention}: what is not consumed within {retention / 3_600_000:g} h is deleted",
                f"{alter} retention.ms={7 * DAY_MS}",
            )
        )
    if settings.get("cleanup.policy", "delete") == "compact":
        findings.append(
            Finding(
                where,
                "cleanup.policy=compact keeps only the last message of each key",
                f"{alter} cleanup.policy=delete",
            )
        )
    return findings


def judge_broker(name: str, settings: Mapping[str, str], servers: str) -> list[Finding]:
    """What is wrong with a Kafka broker. Pure."""
    where = f"broker {name}"
    findings = []
    for setting in ("message.max.bytes", "replica.fetch.max.bytes"):
        value = int(settings.get(setting, DEFAULT_MAX_MESSAGE_BYTES))
        if value < DEFAULT_MAX_MESSAGE_BYTES:
            findings.append(
                Finding(
                    where,
                    f"{setting}={value} is below {DEFAULT_MAX_MESSAGE_BYTES}: new topics refuse large messages, "
                    "or replicas fall behind on them",
                    f"{setting}={DEFAULT_MAX_MESSAGE_BYTES} in the broker's server.properties",
                )
            )
    minutes = int(settings.get("offsets.retention.minutes", 10_080))
    if minutes < 1440:
        findings.append(
            Finding(
                where,
                f"offsets.retention.minutes={minutes}: a group that rests longer loses its position",
                "offsets.retention.minutes=10080 in the broker's server.properties",
            )
        )
    return findings


async def check_broker(broker: Broker, topics: Collection[str] | None) -> Sequence[Finding]:
    """Everything that is wrong, for these topics or for all; nothing on backends without such settings."""
    driver: Driver = broker._driver
    if not isinstance(driver, Checks):
        return ()
    found = await driver.settings(topics)
    findings: list[Finding] = []
    for name, settings in found.brokers.items():
        findings += judge_broker(name, settings, found.servers)
    for name, (settings, replicas) in found.topics.items():
        findings += judge_topic(name, settings, replicas, len(found.brokers), found.servers)
    return findings
