"""What the command line reads and prints, apart from brokers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from hemline_broker._delivery import Delivery
from hemline_broker._message import Message

__all__ = ["age", "delivery_line", "one_line", "pair", "table"]

_TEXT_SHOWN = 200
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def age(text: str) -> timedelta:
    """`90s`, `30m`, `12h`, `8d` or `2w` as a time.

    Raises:
        ValueError: it is none of these, or longer than there are dates.
    """
    match = _AGE.match(text.strip())
    try:
        return timedelta(**{_UNITS[match[2]]: float(match[1])})  # type: ignore[index]
    except (TypeError, OverflowError):
        raise ValueError(
            f"expected a number and a unit, such as 12h, 8d or 2w; got {text!r}"
        ) from None


def pair(text: str) -> tuple[str, str]:
    """`name=value` as two.

    Raises:
        ValueError: there is no `=`, or nothing before it.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"expected name=value, got {text!r}")
    return name, value


def one_line(error: BaseException) -> str:
    """What went wrong, however many lines its text has."""
    return " ".join(str(error).split()) or type(error).__name__


def delivery_line(delivery: Delivery) -> str:
    """Time, position, id, attributes and the body, or its size if it is no short text."""
    message = delivery.message
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
    # Whoever sent it chose these: a terminal must not obey them.
    return " ".join((_printable(" ".join((head, *notes))), _body(message)))


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    )


def _body(message: Message) -> str:
    try:
        text = message.data[: 4 * _TEXT_SHOWN].decode()
    except UnicodeDecodeError as error:
        # A character may have been cut at the end of what is looked at.
        if error.start < 4 * _TEXT_SHOWN - 3:
            return f"<{len(message.data):,} bytes>"
        text = message.data[: error.start].decode()
    body = _printable(text.rstrip("\n"))
    return body[:_TEXT_SHOWN] + " …" if len(body) > _TEXT_SHOWN else body


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]
