"""The command line as a person uses it: what it prints, where, and its exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from typer.testing import CliRunner, Result

from hemline_broker import Broker, TopicInfo, connect
from hemline_broker._cli_text import age, pair
from hemline_broker.cli import app

_COMMAND = [sys.executable, "-m", "hemline_broker"]


def cli(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=given)


def done(*arguments: str, given: bytes | None = None) -> str:
    result = cli(*arguments, given=given)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def complaint(code: int, *arguments: str) -> str:
    """What is said on stderr, which is one line."""
    result = cli(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/broker.db"


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def any_url(request: pytest.FixtureRequest) -> str:
    """SQLite, and a real Kafka."""
    return str(request.getfixturevalue({"sqlite": "url", "kafka": "kafka_url"}[request.param]))


def test_a_day_with_a_broker(any_url: str, tmp_path: Path) -> None:
    """Make a topic, send, look, read, and leave no trace of the reading."""
    topic = f"notes-{uuid.uuid4().hex[:8]}"
    done("ensure", any_url, topic, "readers", "--start", "oldest")
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\xff")
    sent = done("send", any_url, topic, str(picture), "--key", "k", "--content-type", "image/png")
    first = sent.split(" at ")[0]
    done("send", any_url, topic, "--header", "from=me", given="größe\n".encode())

    shown = done("tail", any_url, topic, "--oldest", "-n", "2").splitlines()
    assert len(shown) == 2
    assert first in shown[0]
    assert shown[0].endswith("key=k content-type=image/png <5 bytes>")
    assert shown[1].endswith("from=me größe")

    lag = done("lag", any_url, topic).splitlines()
    assert lag[0].split() == ["topic", "group", "not", "acknowledged"]
    assert [line.split() for line in lag[1:]] == [[topic, "readers", "2"]]
    (mine,) = [line for line in done("topics", any_url).splitlines() if line.startswith(topic)]
    assert mine.split()[1:] == ["1", "2", "readers"]
    assert done("check", any_url, topic).startswith("nothing found")


def test_unknown_topics(any_url: str) -> None:
    done("ensure", any_url, "other")
    for command in ("send", "tail", "lag", "check"):
        arguments = (command, any_url, "no-such-topic", *([__file__] if command == "send" else ()))
        assert "'no-such-topic' does not exist" in complaint(1, *arguments)
    advice = "make it with: hemline broker ensure URL no-such-topic\n"
    assert complaint(1, "tail", any_url, "no-such-topic").endswith(advice)


@pytest.mark.parametrize("command", ["send", "tail", "lag", "topics", "check"])
def test_what_only_looks_makes_no_database(command: str, tmp_path: Path) -> None:
    """A mistyped name is an error, not a new and empty broker that has nothing to say."""
    typo = tmp_path / "typo.db"
    arguments = {"topics": (), "send": ("notes", __file__)}.get(command, ("notes",))
    for url in (f"sqlite:///{typo}", f"sqlite:///{typo}?lease=5", f"SQLite:///{typo}"):
        said = complaint(2, command, url, *arguments)
        assert f"the broker file {typo} does not exist" in said
    typo.touch()
    assert "is empty" in complaint(2, command, f"sqlite:///{typo}", *arguments)
    assert [each.name for each in tmp_path.iterdir()] == ["typo.db"]
    assert typo.stat().st_size == 0
    done("ensure", f"sqlite:///{typo}", "notes")
    assert done("topics", f"sqlite:///{typo}").splitlines()[1].split() == ["notes", "1", "0", "-"]


def test_the_lag_of_one_topic(any_url: str) -> None:
    """It names that topic's groups, not those of a topic whose name goes on after a dot."""
    topic = f"notes-{uuid.uuid4().hex[:8]}"
    done("ensure", any_url, topic, "readers", "--start", "oldest")
    done("ensure", any_url, f"{topic}.more", "writers", "--start", "oldest")
    done("send", any_url, topic, given=b"x")
    rows = [line.split() for line in done("lag", any_url, topic).splitlines()[1:]]
    assert rows == [[topic, "readers", "1"]]
    rows = [line.split() for line in done("lag", any_url).splitlines()[1:]]
    assert [row for row in rows if row[0].startswith(topic)] == [
        [topic, "readers", "1"],
        [f"{topic}.more", "writers", "0"],
    ]


def test_the_lag_of_one_topic_asks_for_no_other(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster has thousands, and not everybody may see them all."""
    done("ensure", url, "notes", "readers")
    asked: list[object] = []
    look = Broker.topics

    async def topics(self: Broker, names: Collection[str] | None = None) -> Sequence[TopicInfo]:
        asked.append(names)
        return await look(self, names)

    monkeypatch.setattr(Broker, "topics", topics)
    assert done("lag", url, "notes").splitlines()[1].split() == ["notes", "readers", "0"]
    assert asked == [("notes",)]


@pytest.mark.parametrize(
    "url",
    [
        "notaurl",
        "redis://host:6379",
        "kafka://",
        "kafka://user:secret@host:1",
        "kafka://host:1?colour=red",
        "kafka://[::1",
        "sqlite:////no/such/folder/broker.db",
    ],
)
def test_bad_urls(url: str) -> None:
    assert "secret" not in complaint(2, "topics", url)


def test_wrong_usage(url: str, tmp_path: Path) -> None:
    done("ensure", url, "notes")
    assert "/no/such" in complaint(2, "send", url, "notes", "/no/such")
    assert str(tmp_path) in complaint(2, "send", url, "notes", str(tmp_path))
    assert "name=value" in complaint(2, "send", url, "notes", __file__, "--header", "nothing")
    assert "ce_id" in complaint(2, "send", url, "notes", __file__, "--header", "ce_id=x")
    assert "--older-than" in complaint(2, "sweep", "file:///tmp", "--older-than", "soon")
    assert "no such folder" in complaint(2, "sweep", "file:///no/such", "--older-than", "8d")
    assert "claim check" in complaint(2, "sweep", "/tmp", "--older-than", "8d")
    # None of it sent anything.
    assert done("topics", url).splitlines()[1].split() == ["notes", "1", "0", "-"]


def test_ages() -> None:
    assert [age(text).total_seconds() for text in ("90s", "1.5m", "12h", "8d", "2w")] == [
        90, 90, 43_200, 691_200, 1_209_600,
    ]  # fmt: skip
    for text in ("", "8", "d", "-1d", "8 days", "9" * 20 + "w"):
        with pytest.raises(ValueError, match="12h, 8d or 2w"):
            age(text)
    assert pair("a=b=c") == ("a", "b=c")


def test_a_message_cannot_speak_to_the_terminal(url: str) -> None:
    done("ensure", url, "notes")
    done("send", url, "notes", "--key", "a\x1b[2Jb", given=b"\x1b]0;title\x07 \x9b31m")
    done("send", url, "notes", given="ö".encode() * 5000)
    shown = done("tail", url, "notes", "--oldest", "-n", "2").splitlines()
    assert "\x1b" not in "".join(shown)
    assert r"key=a\x1b[2Jb" in shown[0]
    assert shown[1].endswith("ö …")


def test_sweep(tmp_path: Path, url: str) -> None:
    """`--dry-run` counts what the real run removes; what is young, or somebody else's, stays."""
    place = tmp_path / "claims"
    claims = f"{url}?claim_check={place.as_uri()}&claim_above=1000"
    done("ensure", claims, "notes")
    for size in (5000, 6000):
        done("send", claims, "notes", given=bytes(size))
    old, young = sorted(_bodies(place), key=lambda path: path.stat().st_size)
    os.utime(old, (0, 0))
    foreign = place / "foreign"
    foreign.write_bytes(b"x")
    os.utime(foreign, (0, 0))
    sweep = ("sweep", place.as_uri(), "--older-than", "8d")
    assert done(*sweep, "--dry-run") == "1 bodies of 5,000 bytes would be removed, older than 8d\n"
    assert old.exists()
    assert done(*sweep) == "1 bodies of 5,000 bytes removed, older than 8d\n"
    assert sorted(_bodies(place)) == sorted([young, foreign])
    assert done(*sweep) == "0 bodies of 0 bytes removed, older than 8d\n"


def test_check_of_a_backend_without_settings_and_with_a_claim_check(
    tmp_path: Path, url: str
) -> None:
    claims = f"{url}?claim_check={(tmp_path / 'claims').as_uri()}"
    done("ensure", claims, "notes")
    assert done("check", claims, "notes").startswith("nothing found")


def _bodies(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]


# --- what only Kafka shows -----------------------------------------------------------------------------------


@pytest.fixture
def topic_with(kafka_url: str) -> Callable[[dict[str, str]], str]:
    """Makes a topic with settings of its own, as somebody else would."""
    admin = AdminClient({"bootstrap.servers": kafka_url.removeprefix("kafka://")})

    def make(settings: dict[str, str]) -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        admin.create_topics([NewTopic(name, 1, 1, config=settings)])[name].result(60)
        return name

    return make


@pytest.mark.kafka
def test_check_names_bad_settings(
    kafka_url: str, topic_with: Callable[[dict[str, str]], str]
) -> None:
    """Each with the line that mends it; and once mended, nothing is found."""
    bad = topic_with(
        {
            "max.message.bytes": "1048588",
            "segment.bytes": "2000000",
            "retention.ms": "3600000",
            "retention.bytes": "50000000",
            "unclean.leader.election.enable": "true",
        }
    )
    good = topic_with({"max.message.bytes": "15728640", "retention.ms": "604800000"})
    assert done("check", kafka_url, good).startswith("nothing found that would refuse or lose")
    result = cli("check", kafka_url, bad, good)
    assert result.exit_code == 1
    assert good not in result.stdout
    found = [line for line in result.stdout.splitlines() if line.startswith(f"topic {bad}: ")]
    mends = [line for line in result.stdout.splitlines() if line.startswith("    mend it: ")]
    assert [line.split()[2].rstrip(":").split("=")[0] for line in found] == [
        "max.message.bytes",
        "segment.bytes",
        "unclean.leader.election.enable",
        "retention.ms",
        "retention.bytes",
    ]
    begin = (
        f"    mend it: kafka-configs.sh --bootstrap-server {kafka_url.removeprefix('kafka://')} --alter "
        f"--entity-type topics --entity-name {bad} --add-config "
    )
    assert [line.removeprefix(begin).split("=")[0] for line in mends] == [
        line.split()[2].rstrip(":").split("=")[0] for line in found
    ]
    mended = topic_with(dict(line.removeprefix(begin).split("=", 1) for line in mends))  # type: ignore[misc]
    assert done("check", kafka_url, mended).startswith("nothing found")


@pytest.mark.kafka
def test_check_believes_a_claim_check(
    kafka_url: str, topic_with: Callable[[dict[str, str]], str], tmp_path: Path
) -> None:
    """With one, the usual limit of 1 MB refuses nothing; without, `send` is refused as `check` foretold."""
    usual = topic_with({"max.message.bytes": "1048588"})
    large = tmp_path / "large"
    large.write_bytes(os.urandom(2_000_000))
    assert "max.message.bytes=1048588" in cli("check", kafka_url, usual).stdout
    assert "max.message.bytes" in complaint(1, "send", kafka_url, usual, str(large))
    claims = f"{kafka_url}?claim_check={(tmp_path / 'claims').as_uri()}"
    assert done("check", claims, usual).startswith("nothing found")
    done("send", claims, usual, str(large))
    assert done("tail", claims, usual, "--oldest", "-n", "1").endswith("<2,000,000 bytes>\n")


@pytest.mark.pubsub
def test_pubsub_tells_less(pubsub_url: str, tmp_path: Path) -> None:
    """A question mark stands for what nobody knows, and `check` asks for a claim check."""
    topic = f"notes-{uuid.uuid4().hex[:8]}"
    done("ensure", pubsub_url, topic, "readers")
    done("send", pubsub_url, topic, "--key", "k", given=b"hello")
    assert done("tail", pubsub_url, topic, "--oldest", "-n", "1").endswith("key=k hello\n")
    assert done("lag", pubsub_url, topic).splitlines()[1].split() == [topic, "readers", "?"]
    (mine,) = [each for each in done("topics", pubsub_url).splitlines() if each.startswith(topic)]
    assert mine.split()[1:] == ["1", "?", "readers"]
    result = cli("check", pubsub_url, topic)
    assert result.exit_code == 1
    assert "mend it: put ?claim_check=gs://bucket/prefix into the URL" in result.stdout
    claims = f"{pubsub_url}&claim_check={(tmp_path / 'claims').as_uri()}"
    assert done("check", claims, topic).startswith("nothing found")


@pytest.mark.kafka
def test_nobody_there() -> None:
    """One line that names the address and the reason, in bounded time; not the client's own hundreds."""
    ended = subprocess.run(
        [*_COMMAND, "topics", "kafka://127.0.0.1:1"], capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: cannot reach the brokers at 127.0.0.1:1: ")
    assert "Connection refused" in ended.stderr


@pytest.mark.kafka
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_tail_ends_when_told_and_forgets_its_group(kafka_url: str, number: signal.Signals) -> None:
    topic = f"t{uuid.uuid4().hex[:12]}"
    done("ensure", kafka_url, topic)
    done("send", kafka_url, topic, given=b"first")
    with _tail(kafka_url, topic, "--oldest") as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline().endswith("first\n")
        assert asyncio.run(_groups(kafka_url, topic))
        tail.send_signal(number)
        assert tail.wait(60) == 128 + number
        assert tail.stderr is not None
        assert tail.stderr.read() == ""
    assert not asyncio.run(_groups(kafka_url, topic))


def test_tail_shows_what_comes(url: str) -> None:
    """Messages sent while it runs, each as soon as it is there; a reader that leaves ends it without a traceback."""
    done("ensure", url, "notes")
    done("send", url, "notes", given=b"before")
    with _tail(url, "notes") as tail:
        assert tail.stdout is not None
        deadline = time.monotonic() + 60
        while not asyncio.run(_groups(url, "notes")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        done("send", url, "notes", given=b"after")
        assert tail.stdout.readline().endswith("after\n")
        tail.stdout.close()
        done("send", url, "notes", given=b"to nobody")
        tail.wait(60)
        assert tail.stderr is not None
        assert "Traceback" not in tail.stderr.read()
    assert not asyncio.run(_groups(url, "notes"))


def _tail(url: str, *arguments: str) -> subprocess.Popen[str]:
    command: Sequence[str] = [*_COMMAND, "tail", url, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def _groups(url: str, topic: str) -> list[str]:
    async with connect(url) as broker:
        (info,) = [info for info in await broker.topics() if info.name == topic]
        return sorted(info.groups)
