"""Asking a child over HTTP."""

import json
import urllib.error
import urllib.request
from typing import Any, Final

__all__ = ["get", "get_status"]

_MOST_BYTES: Final = 8 << 20


def get(address: str, path: str, *, timeout: float = 2.0) -> bytes | None:
    """The body of a reply with status 200; None when there is none (the child is starting, hangs, or is gone)."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=timeout) as reply:
            body: bytes = reply.read(_MOST_BYTES)
    except (OSError, urllib.error.URLError, ValueError):
        return None
    return body


def get_status(address: str) -> dict[str, Any] | None:
    """What ``/status`` of a child says; None when it says nothing that can be read."""
    body = get(address, "/status")
    if body is None:
        return None
    try:
        status = json.loads(body)
    except ValueError:
        return None
    return status if isinstance(status, dict) else None
