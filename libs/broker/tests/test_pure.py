"""The decisions that need no broker."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hemline_broker
from hemline_broker import InvalidOption, Message, Retry, new_id
from hemline_broker._check import judge_broker, judge_topic
from hemline_broker._kafka._partition import Partition
from hemline_broker._kafka._settings import Settings
from hemline_broker._message import _Ids
from hemline_broker._sqlite._chunks import CHUNK_BYTES, CHUNK_MESSAGES, decode, encode, split
from hemline_broker._sqlite._claims import Claim, left, ranges
from hemline_broker._url import BrokerURL


def test_exports() -> None:
    public = {name for name in vars(hemline_broker) if not name.startswith("_") and name[0] != "t"}
    public -= {"claims", "cli", "driver"}
    assert public == set(hemline_broker.__all__)
    assert list(hemline_broker.__all__) == sorted(hemline_broker.__all__, key=_ruff_order)


def _ruff_order(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_ids_sort_by_time_and_differ() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids[0][:8] <= ids[-1][:8]
    assert all(each[14] == "7" and each[19] in "89ab" for each in ids)
    assert all(uuid.UUID(each).version == 7 for each in ids)


def test_ids_of_one_moment_sort_as_they_were_made_and_differ_between_processes() -> None:
    ours, theirs = _Ids(), _Ids()
    moment = 1_800_000_000_123_456_789
    ids = [ours.at(moment) for _ in range(1000)]
    assert ids == sorted(ids)
    assert int(ids[0][:13].replace("-", ""), 16) == moment // 1_000_000
    assert not {each[14:] for each in ids} & {theirs.at(moment)[14:] for _ in range(1000)}
    before = ids[-1][14:24]
    ours.renew()  # what a forked child does
    assert ours.at(moment)[14:24] != before


def test_what_is_done_but_not_committed_is_known() -> None:
    part = Partition("topic", 0)
    part.delivered(range(10, 15))
    part.delivered([15, 17, 20])
    part.done(10, 5)
    part.done(17)
    assert part.watermark == 15
    assert part.done_in_vain() == [10, 11, 12, 13, 14, 17]
    part.committed = 13
    assert part.done_in_vain() == [13, 14, 17]
    part.committed = 15
    part.done(15)
    assert part.watermark == 20
    assert part.done_in_vain() == [15, 17]


@given(
    gaps=st.lists(st.integers(1, 5), min_size=1, max_size=60),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_watermark_is_the_oldest_unfinished_offset(
    gaps: list[int], seed: int, data: st.DataObject
) -> None:
    """Delivered in runs, done one by one and in parts of runs, in any order."""
    offsets = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    part = Partition("t", 0)
    pieces: list[list[int]] = []
    start = 0
    while start < len(offsets):
        end = start + data.draw(st.integers(1, 20))
        part.delivered(offsets[start:end])
        while start < min(end, len(offsets)):
            size = data.draw(st.integers(1, 20))
            pieces.append(offsets[start : min(start + size, end)])
            start += len(pieces[-1])
    random.Random(seed).shuffle(pieces)
    done: set[int] = set()
    for piece in pieces[: data.draw(st.integers(0, len(pieces)))]:
        covers = offsets[: len(done) + len(piece)] == sorted(done | set(piece))
        after = part.after(piece)
        part.done(piece[0], len(piece))
        part.done(piece[0], len(piece))  # twice does nothing
        done |= set(piece)
        unfinished = [each for each in offsets if each not in done]
        wanted = unfinished[0] if unfinished else offsets[-1] + 1
        if unfinished and unfinished[0] == offsets[0]:
            assert part.watermark is None
        else:
            assert part.watermark == wanted
        if covers:
            assert after == wanted
        elif after is not None:
            assert all(offset < after for offset in piece)
    part.done(10**9)  # never delivered
    part.done(-1)


@given(st.sets(st.integers(0, 200)))
def test_claims_remember_what_is_done(done: set[int]) -> None:
    claim = Claim("t/0/", 1, 10, 110, 1, None)
    mine = {number for number in done if 10 <= number < 110}
    claim.done |= mine
    claim.advance()
    again = Claim("t/0/", 1, claim.first, 110, 1, claim.state())
    remaining = {n for n in range(again.first, 110) if n not in again.done}
    assert remaining == set(range(10, 110)) - mine
    assert left(claim.first, 110, claim.state()) == len(remaining)
    assert again.finished == (not remaining)


def test_claims_remember_attempts() -> None:
    claim = Claim("t/0/", 1, 0, 10, 3, None)
    claim.remember(4, attempt=6, failures=2)
    again = Claim("t/0/", 1, 0, 10, 3, claim.state())
    assert again.attempt_of(4) == (6, 2)
    assert again.attempt_of(5) == (3, 0)


def test_ranges() -> None:
    assert list(ranges([5, 1, 2, 3, 9])) == [(1, 4), (5, 6), (9, 10)]
    assert list(ranges([])) == []


@given(st.lists(st.integers(0, CHUNK_BYTES // 2), max_size=12))
def test_chunks_keep_every_message(sizes: list[int]) -> None:
    messages = [Message(bytes(size), key=str(size)) for size in sizes]
    runs = list(split(messages))
    assert [each for run in runs for each in run] == messages
    for run in runs:
        assert 1 <= len(run) <= CHUNK_MESSAGES
        assert len(run) == 1 or sum(len(each.data) for each in run) <= CHUNK_BYTES
        chunk = encode(run)
        assert decode(chunk.meta, chunk.data) == list(run)


def test_chunks_are_bounded_by_count() -> None:
    runs = list(split([Message(b"")] * (CHUNK_MESSAGES * 2 + 1)))
    assert [len(run) for run in runs] == [CHUNK_MESSAGES, CHUNK_MESSAGES, 1]


def test_retry() -> None:
    retry = Retry(attempts=3, delay=1, factor=10, max_delay=50)
    assert [retry.delay_after(n) for n in (1, 2, 3, 10_000)] == [1, 10, 50, 50]
    assert [retry.exhausted(n) for n in (1, 2, 3)] == [False, False, True]
    assert not Retry(attempts=None).exhausted(10**9)
    for wrong in ({"attempts": 0}, {"delay": -1}, {"factor": 0.5}):
        with pytest.raises(InvalidOption):
            Retry(**wrong)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite",
        "no scheme",
        "kafka://",
        "ftp://x",
        "kafka://user:secret@host:1",
        "kafka+ssl://user:secret@host:1",
        "kafka//user:secret@host",
        "9kafka:secret",
        "kafka://user:\u2100secret@host:1",
        "kafka://user:#secret@host:1",
        "kafka://user:?secret@host:1",
        "kafka://h:1?a=1&a=2",
        "kafka://h:1?a=1&b",
        "kafka://[::1",
    ],
)
async def test_bad_urls(url: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        async with hemline_broker.connect(url):
            pass
    assert "secret" not in str(caught.value)


def kafka(query: str, **environment: str) -> Settings:
    return Settings.parse(
        BrokerURL.parse(f"kafka://h:1{query}"),
        {f"HEMLINE_KAFKA_{name}": value for name, value in environment.items()},
    )


def test_kafka_security() -> None:
    assert "security.protocol" not in kafka("").client
    sasl = kafka("", SASL_MECHANISM="SCRAM-SHA-512", USERNAME="u", PASSWORD="p", CA_FILE="/ca.pem")
    assert sasl.client["security.protocol"] == "SASL_SSL"
    assert sasl.client["sasl.mechanism"] == "SCRAM-SHA-512"
    assert sasl.client["ssl.ca.location"] == "/ca.pem"
    assert "p'" not in repr(sasl)
    # The URL wins over the environment.
    plain = kafka(
        "?sasl=plain&security=sasl_plaintext",
        SASL_MECHANISM="SCRAM-SHA-512",
        USERNAME="u",
        PASSWORD="p",
    )
    assert (plain.client["security.protocol"], plain.client["sasl.mechanism"]) == (
        "SASL_PLAINTEXT",
        "PLAIN",
    )
    assert kafka("", CA_FILE="/ca.pem").client["security.protocol"] == "SSL"
    oauth = kafka(
        "", SASL_MECHANISM="OAUTHBEARER", USERNAME="u", PASSWORD="p", OAUTH_TOKEN_URL="https://t"
    )
    assert oauth.client["sasl.oauthbearer.method"] == "oidc"
    for wrong in (
        {"SASL_MECHANISM": "PLAIN"},
        {"SASL_MECHANISM": "MAGIC"},
        {"SECURITY_PROTOCOL": "SASL_SSL"},
    ):
        with pytest.raises(InvalidOption):
            kafka("", **wrong)
    with pytest.raises(InvalidOption):
        kafka("?security=plaintext&sasl=plain", USERNAME="u", PASSWORD="p")


def test_kafka_topics_are_made_as_the_url_says() -> None:
    usual = kafka("")
    assert (usual.partitions, usual.replication, usual.retention_s) == (1, -1, None)
    asked = kafka("?partitions=6&replication=3&retention=3600")
    assert (asked.partitions, asked.replication, asked.retention_s) == (6, 3, 3600)
    for wrong in ("?partitions=0", "?retention=-1", "?partitions=many"):
        with pytest.raises(InvalidOption):
            kafka(wrong)


def test_kafka_certificates_come_as_text_or_as_files() -> None:
    text = kafka("", CA_PEM="authority", CERT_PEM="mine", KEY_PEM="secret-word")
    assert text.client["security.protocol"] == "SSL"
    assert text.client["ssl.ca.pem"] == "authority"
    assert text.client["ssl.certificate.pem"] == "mine"
    assert text.client["ssl.key.pem"] == "secret-word"
    assert "secret-word" not in repr(text)
    both = kafka("", CA_PEM="authority", CA_FILE="/ca.pem")
    assert both.client["ssl.ca.location"] == "/ca.pem"
    assert "ssl.ca.pem" not in both.client


def test_check_names_what_loses_messages() -> None:
    good = {
        "max.message.bytes": "15728640",
        "min.insync.replicas": "2",
        "retention.ms": "604800000",
    }
    assert judge_topic("t", good, 3, 3, "h:1") == []
    bad = {
        "max.message.bytes": "1048588",
        "unclean.leader.election.enable": "true",
        "retention.ms": "60000",
    }
    problems = " ".join(each.problem + each.mend for each in judge_topic("t", bad, 1, 3, "h:1"))
    for word in ("max.message.bytes=15728640", "unclean", "retention.ms=60000", "one replica"):
        assert word in problems
    for policy in ("compact", "compact,delete", "delete,compact"):
        (found,) = judge_topic("t", {**good, "cleanup.policy": policy}, 3, 3, "h:1")
        assert f"cleanup.policy={policy} keeps" in found.problem
    assert judge_topic("t", {**good, "min.insync.replicas": "1"}, 3, 3, "h:1")
    small = {"message.max.bytes": "1048588", "replica.fetch.max.bytes": "1048576"}
    assert len(judge_broker("1", small, 3)) == 2
    assert [each.mend.split("=")[0] for each in judge_broker("1", small, 1)] == [
        "message.max.bytes"
    ]
    assert judge_broker("1", small, 3, wanted=100_000) == []
    assert judge_broker("1", {"offsets.retention.minutes": "60"}, 1)
    assert judge_broker("1", {}, 1) == []
    assert judge_topic("t", {**good, "segment.bytes": "1000000"}, 3, 3, "h:1")
    assert judge_topic("t", {**good, "retention.bytes": "20000000"}, 3, 3, "h:1")
    little = {**good, "max.message.bytes": "1048588"}
    assert judge_topic("t", little, 3, 3, "h:1")
    assert judge_topic("t", little, 3, 3, "h:1", wanted=100_000) == []
