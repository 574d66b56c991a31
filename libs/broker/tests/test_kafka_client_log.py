"""What librdkafka's clients write to the log while a broker is away."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from hemline_broker import connect
from hemline_broker._kafka._client_log import Once

_REFUSED = "[thrd:b:9092/1]: b:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused"


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _line(text: str, client: str = "hemline-broker#consumer-1") -> logging.LogRecord:
    return logging.LogRecord(
        "hemline_broker.kafka", logging.ERROR, "", 0, "%s [%s] %s", ("FAIL", client, text), None
    )


def test_a_line_is_written_once_whichever_client_says_it() -> None:
    once = Once(60, _Clock())
    assert once.filter(_line(f"{_REFUSED} (after 0ms in state CONNECT)"))
    assert not once.filter(
        _line(f"{_REFUSED} (after 3ms in state CONNECT, 5 identical error(s) suppressed)")
    )
    assert not once.filter(_line(_REFUSED, "hemline-broker#producer-2"))


def test_other_lines_are_written() -> None:
    once = Once(60, _Clock())
    assert once.filter(_line(_REFUSED))
    assert once.filter(_line(_REFUSED.replace("10.0.0.1", "10.0.0.2")))
    assert once.filter(logging.LogRecord("x", logging.INFO, "", 0, "no arguments", None, None))


def test_after_a_while_it_is_written_again_with_how_many_there_were() -> None:
    clock = _Clock()
    once = Once(60, clock)
    once.filter(_line(_REFUSED))
    for _ in range(7):
        clock.now += 5
        assert not once.filter(_line(_REFUSED))
    clock.now = 60
    again = _line(_REFUSED)
    assert once.filter(again)
    assert again.getMessage().endswith("Connection refused [and 7 like it in the last 60 s]")
    assert not once.filter(_line(_REFUSED))


def test_what_is_remembered_is_bounded() -> None:
    once = Once(60, _Clock())
    for number in range(1_000):
        assert once.filter(_line(f"line {number}"))
    assert not once.filter(_line("line 999"))
    assert once.filter(_line("line 0"))


async def test_a_broker_that_is_away_is_not_told_at_each_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        socket.socket() as taken
    ):  # bound but not listening: nobody answers, and no other test has asked
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2), connect(f"kafka://127.0.0.1:{taken.getsockname()[1]}"):
                pass
    refused = [each for each in caplog.messages if "Connection refused" in each]
    assert len(refused) == 1, refused
