"""Predictions as lines."""

import io
import threading
import time

from hemline_inference._console import Console, prediction_line


class Blocked(io.StringIO):
    """A terminal that somebody has stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.go_on.wait(30)
        return super().write(text)


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_line_says_what_and_how_sure() -> None:
    assert prediction_line("42", "Sandal", 0.98765, 3) == "42  Sandal  0.988  v3"


def test_an_id_cannot_break_the_line_or_steer_the_terminal() -> None:
    line = prediction_line("a\nb\x1b[31m", "Sandal", 1.0, 1)
    assert line.isprintable()


def test_lines_arrive_in_order() -> None:
    out = io.StringIO()
    console = Console(out)
    console.show(["one", "two"])
    console.show(["three"])
    console.close()
    assert out.getvalue() == "one\ntwo\nthree\n"


def test_a_stopped_terminal_loses_lines_and_is_told_how_many() -> None:
    out = Blocked()
    console = Console(out)
    for number in range(1000):
        console.show([f"{number}"])
    out.go_on.set()
    deadline = time.monotonic() + 60
    lines: list[str] = []
    waited = 0
    while "last" not in lines and time.monotonic() < deadline:
        console.show(["last"])
        waited += 1
        lines = out.getvalue().splitlines()
    console.close(30)
    notices = [line for line in lines if line.startswith("(")]
    lost = sum(int(line.strip("(").split()[0].replace(",", "")) for line in notices)
    printed = [line for line in lines if line.isdigit()]
    assert notices and printed[:3] == ["0", "1", "2"]
    # Beyond the thousand, only what this test showed while it waited for a place can have been lost.
    assert 0 <= lost + len(printed) - 1000 <= waited


def test_a_reader_that_has_gone_changes_nothing() -> None:
    console = Console(Gone())
    console.show(["one"])
    console.show(["two"])
    console.close()
