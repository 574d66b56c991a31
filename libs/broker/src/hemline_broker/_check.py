"""Settings of a broker or a topic that would refuse a large message, or lose one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hemline_broker._broker import Broker
from hemline_broker._driver import Checks, Claims, Driver
from hemline_broker._errors import NotFound
from hemline_broker._message import DEFAULT_MAX_MESSAGE_BYTES

DAY_MS = 86_400_000
# Room for a hundred of the largest messages.
_HELD_BYTES = 100 * DEFAULT_MAX_MESSAGE_BYTES
# What travels when the body lies in an object store.
_WITHOUT_BODY_BYTES = 131_072


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


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and in how much.

    Attributes:
        findings: all there is to mend.
        looked_at: what was looked at, for people.
    """

    findings: Sequence[Finding]
    looked_at: str


def judge_topic(
    topic: str,
    settings: Mapping[str, str],
    replicas: int,
    brokers: int,
    servers: str,
    wanted: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> list[Finding]:
    """What is wrong with a Kafka topic that must take messages of `wanted` bytes. Pure."""
    alter = " ".join(
        (
            f"kafka-configs.sh --bootstrap-server {servers} --alter",
            f"--entity-type topics --entity-name {topic} --add-config",
        )
    )
    where = f"topic {topic}"
    findings = []
    for setting in ("max.message.bytes", "segment.bytes"):
        limit = int(settings.get(setting, wanted))
        if limit < wanted:
            findings.append(
                Finding(
                    where,
                    f"{setting}={limit}: larger messages are refused, and they may have {wanted} bytes",
                    f"{alter} {setting}={wanted}",
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
    held = int(settings.get("retention.bytes", -1))
    if 0 <= held < _HELD_BYTES and "delete" in settings.get("cleanup.policy", "delete"):
        findings.append(
            Finding(
                where,
                f"retention.bytes={held}: the oldest of a partition's messages are deleted above that, consumed or not",
                f"{alter} retention.bytes=-1",
            )
        )
    policy = settings.get("cleanup.policy", "delete")
    if "compact" in policy:
        findings.append(
            Finding(
                where,
                f"cleanup.policy={policy} keeps only the last message of each key",
                f"{alter} cleanup.policy=delete",
            )
        )
    return findings


def judge_broker(
    name: str,
    settings: Mapping[str, str],
    brokers: int,
    wanted: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> list[Finding]:
    """What is wrong with a Kafka broker whose topics must take messages of `wanted` bytes. Pure."""
    where = f"broker {name}"
    findings = []
    for setting, what in (
        ("message.max.bytes", "topics without a limit of their own refuse larger messages"),
        (
            "replica.fetch.max.bytes",
            "replicas fetch larger messages one by one and may fall behind",
        ),
        ("socket.request.max.bytes", "requests with larger messages are refused"),
    ):
        value = int(settings.get(setting, wanted))
        if value < wanted and (brokers > 1 or not setting.startswith("replica")):
            findings.append(
                Finding(
                    where,
                    f"{setting}={value}: {what}, and they may have {wanted} bytes",
                    f"{setting}={wanted} in the broker's server.properties",
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


async def check_broker(broker: Broker, topics: Collection[str] | None) -> Report:
    """Everything that is wrong, for these topics or for all.

    Raises:
        NotFound: there is no such topic.
    """
    driver: Driver = broker._driver
    for name in topics or ():
        if not await driver.exists(name):
            raise NotFound(f"topic {name!r} does not exist")
    findings: list[Finding] = []
    if driver.max_message_bytes < DEFAULT_MAX_MESSAGE_BYTES:
        findings.append(
            Finding(
                "this backend",
                f"messages above {driver.max_message_bytes} bytes are refused, and they may have "
                f"{DEFAULT_MAX_MESSAGE_BYTES}",
                "put ?claim_check=gs://bucket/prefix into the URL of every sender and reader",
            )
        )
    if not isinstance(driver, Checks):
        return Report(findings, "this backend has no settings to look at")
    wanted = _WITHOUT_BODY_BYTES if isinstance(driver, Claims) else DEFAULT_MAX_MESSAGE_BYTES
    found = await driver.settings(topics)
    for name, settings in found.brokers.items():
        findings += judge_broker(name, settings, len(found.brokers), wanted)
    for name, (settings, replicas) in found.topics.items():
        findings += judge_topic(name, settings, replicas, len(found.brokers), found.servers, wanted)
    return Report(
        findings, f"{len(found.brokers)} brokers and {len(found.topics)} topics looked at"
    )
