"""Where a demo's simulator answers: left in the state directory, for `hemline top` to find."""

from pathlib import Path

from hemline._files import write_atomic

__all__ = ["read_simulator_address", "write_simulator_address"]

_NAME = "simulator.address"


def write_simulator_address(state: Path, address: str) -> None:
    """Leave ``HOST:PORT``."""
    write_atomic(state / _NAME, f"{address}\n".encode())


def read_simulator_address(state: Path) -> str | None:
    """``HOST:PORT``, or None where no demo left one."""
    try:
        return (state / _NAME).read_text().strip() or None
    except OSError:
        return None
