import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hemline.demo._child import Child
from hemline.demo._commands import simulator_arguments, up_arguments
from hemline.demo._place import claimed
from hemline.demo._script import Progress, read_progress, why_finish
from hemline.demo._settings import DemoSettings
from hemline_operator.lifecycle import Event, EventKind
from hemline_runtime import Failure, UsageFailure


def event(kind: str, at: float, version: int | None = None) -> Event:
    return Event(
        sequence=1,
        at=datetime.fromtimestamp(at, UTC),
        kind=EventKind(kind),
        reason="Because",
        message="because",
        version=version,
    )


EVENTS = [
    event("Ready", 1),
    event("FineTuneStarted", 40),
    event("Promoted", 90, 2),
    event("FineTuneStarted", 91),
    event("Refused", 150, 3),
]


def test_progress_is_read_from_the_lifecycles_events() -> None:
    progress = read_progress(EVENTS)
    assert progress.promoted == (2,)
    assert progress.decided == 2
    assert progress.last_decision == 150
    assert progress.swaps == ((90, "version 2 live"),)
    assert read_progress([]) == Progress()


def why(events: list[Event], now: float) -> str | None:
    return why_finish(
        read_progress(events), now=now, stream_began=10, seconds=300, settle=20, patience=100
    )


def test_the_demo_ends_when_the_second_fine_tune_has_been_seen() -> None:
    assert why(EVENTS[:4], 200) is None
    assert why(EVENTS, 169) is None
    assert why(EVENTS, 170) == "everything has been shown"


def test_the_demo_ends_after_its_time_when_a_version_is_live() -> None:
    assert why(EVENTS[:4], 309) is None
    assert why(EVENTS[:4], 310) == "300 seconds are over"


def test_a_slow_machine_gets_more_time_to_show_a_version_but_not_for_ever() -> None:
    late = [event("Promoted", 305, 2)]
    assert why(late, 310) is None
    assert why(late, 325) == "300 seconds are over"
    for events in ([], [event("Refused", 90), event("Refused", 150)]):
        assert why(events, 409) is None
        assert why(events, 410) == "400 seconds are over"


def test_the_two_processes_get_the_same_stream_and_place(tmp_path: Path) -> None:
    settings = DemoSettings(state=tmp_path, broker="kafka://h:1")
    up = up_arguments(settings)
    assert up[0] == "up"
    assert "--broker=kafka://h:1" in up
    assert f"--state={tmp_path}" in up
    assert not any(
        option.startswith("--broker") for option in up_arguments(DemoSettings(state=tmp_path))
    )
    simulator = simulator_arguments(settings, broker="sqlite:///x", http="127.0.0.1:5", drain=9)
    assert "--drift=inversion@20s" in simulator
    assert "--resume" in simulator


# --- children ----------------------------------------------------------------------------------------------------

SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose modules children can run."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def wait_for(log: Path, text: str, times: int = 1) -> None:
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().count(text) >= times):
        assert time.monotonic() < deadline, f"no {text!r} in {log}"
        time.sleep(0.02)


def test_a_killed_child_comes_back_and_ends_when_asked(module: Path) -> None:
    (module / "sleeper.py").write_text(SLEEPER)
    log = module / "logs" / "sleeper.log"
    child = Child("sleeper", "sleeper", [], log=log)
    try:
        wait_for(log, "ready")
        assert not child.revive()
        first = child.pid
        os.kill(first, signal.SIGKILL)
        assert child.wait(60) == -signal.SIGKILL
        assert child.revive()
        assert child.pid != first
        wait_for(log, "ready", 2)
    finally:
        assert child.end(60) == 0
    assert not child.revive()


def test_a_child_with_wrong_options_is_not_started_for_ever(module: Path) -> None:
    (module / "wrong.py").write_text("import sys; print('no such option'); sys.exit(2)")
    child = Child("wrong", "wrong", [], log=module / "wrong.log")
    assert child.wait(60) == 2
    with pytest.raises(Failure, match="no such option"):
        child.revive()


def test_a_child_that_keeps_failing_is_given_up(module: Path) -> None:
    (module / "failing.py").write_text("import sys; sys.exit(1)")
    child = Child("failing", "failing", [], log=module / "failing.log")
    for _ in range(5):
        child.wait(60)
        assert child.revive()
    child.wait(60)
    with pytest.raises(Failure, match="after 5 restarts"):
        child.revive()


def test_a_child_that_does_not_end_is_killed(module: Path) -> None:
    (module / "deaf.py").write_text(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    child = Child("deaf", "deaf", [], log=module / "deaf.log")
    wait_for(module / "deaf.log", "ready")
    assert child.end(0.2) == -signal.SIGKILL


# --- the directory -----------------------------------------------------------------------------------------------


def test_a_demo_replaces_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "demo"
    with claimed(state):
        (state / "books.json").write_text("old")
        (state / "lake").mkdir()
        (state / "lake" / "x").write_text("old")
    with claimed(state):
        assert [path.name for path in state.iterdir()] == ["demo.lock"]

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageFailure, match="no demo"), claimed(mine):
        pass
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_two_demos_do_not_share_a_directory(tmp_path: Path) -> None:
    with claimed(tmp_path):
        (tmp_path / "books.json").write_text("mine")
        with pytest.raises(Failure, match="already"), claimed(tmp_path):
            pass
        assert (tmp_path / "books.json").read_text() == "mine"
    with claimed(tmp_path):
        pass


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="cannot use"), claimed(tmp_path / "file" / "demo"):
        pass


def test_children_run_this_python(module: Path) -> None:
    (module / "which.py").write_text("import sys; print(sys.executable)")
    child = Child("which", "which", [], log=module / "which.log")
    assert child.wait(60) == 0
    assert (module / "which.log").read_text().strip() == sys.executable


@pytest.mark.parametrize(
    ("broker", "says"),
    [
        (
            "pubsub://my-project?leese=3",
            "unknown option leese in a pubsub URL; did you mean lease?",
        ),
        ("pubsub://my-project", "no credentials for Pub/Sub: "),
    ],
)
def test_a_broker_that_cannot_be_used_is_one_line_before_anything_is_made(
    broker: str, says: str, tmp_path: Path
) -> None:
    state, missing = tmp_path / "demo", tmp_path / "missing.json"
    ran = subprocess.run(
        [sys.executable, "-m", "hemline", "demo", "--plain", f"--state={state}", f"--broker={broker}"],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "GOOGLE_APPLICATION_CREDENTIALS": str(missing), "PUBSUB_EMULATOR_HOST": ""},
    )  # fmt: skip
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert not state.exists()
