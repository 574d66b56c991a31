"""A run as the simulator and `hemline up` would describe it, for tests that draw or sum up."""

from types import SimpleNamespace

import pytest

from hemline.up._status import UpStatus
from hemline_client_sim import BinStatus, PhaseStatus, Status, TallyStatus, WindowStatus

START = 1_800_000_000.0


def bins() -> list[BinStatus]:
    """20 a second: version 1 falls from 92 % to 18 % at 20 s, version 2 takes over at 90 s, 3 at 150 s."""
    made = []
    for second in range(180):
        version = 1 if second < 90 else 2 if second < 150 else 3
        share = 0.92 if second < 20 else {1: 0.18, 2: 0.82, 3: 0.86}[version]
        made.append(
            BinStatus(
                version=version,
                start=float(second),
                width=1.0,
                right=round(20 * share),
                total=20,
            )
        )
    return made


def simulator(**changes: object) -> Status:
    made = bins()

    def tally(phase: int, version: int) -> TallyStatus:
        chosen = [item for item in made if item.version == version and (item.start >= 20) == phase]
        total = sum(item.total for item in chosen)
        return TallyStatus(
            phase=phase,
            version=version,
            answered=total,
            scored=total,
            right=sum(item.right for item in chosen),
        )

    values: dict[str, object] = {
        "run": "demo",
        "classifier": "mnist",
        "seed": 0,
        "state": "done",
        "started": START,
        "now": START + 180,
        "phase": 1,
        "phases": [
            PhaseStatus(number=0, name="clean", at=0, started=START),
            PhaseStatus(number=1, name="inversion", at=20, started=START + 20),
        ],
        "planned_rate": 20.0,
        "rate": 19.8,
        "label_delay": 3.0,
        "first_sent": START,
        "first_answer": START + 0.02,
        "sent": 3600,
        "corrupt": 0,
        "answered": 3600,
        "unanswered": 0,
        "refused": 0,
        "corrupt_refused": 0,
        "corrupt_answered": 0,
        "labels": 3600,
        "labels_waiting": 0,
        "scored": 3600,
        "right": 2600,
        "repeats": 4,
        "differing": 0,
        "unknown": 0,
        "foreign": 0,
        "malformed": 0,
        "latency_p50": 0.011,
        "latency_p99": 0.064,
        "tallies": [tally(0, 1), tally(1, 1), tally(1, 2), tally(1, 3)],
        "window": [
            WindowStatus(version=1, right=36, total=200),
            WindowStatus(version=2, right=164, total=200),
            WindowStatus(version=3, right=172, total=200),
        ],
        "bins": made,
        "counted_twice": 0,
    }
    return Status.model_validate(values | changes)


def up(**changes: object) -> UpStatus:
    values: dict[str, object] = {
        "classifier": "mnist",
        "ready": True,
        "revision": 3,
        "live": 2,
        "canary": {"version": 3, "fraction": 0.2},
        "fine_tune": {
            "state": "running",
            "why": "1,000 new labelled samples came",
            "fresh": 1020,
            "due_at": 1000,
            "step": 120,
            "steps": 250,
            "loss": 0.4123,
        },
        "processes": [
            {"name": "inference", "pid": 11, "state": "running", "restarts": 1},
            {"name": "collect", "pid": 12, "state": "running"},
            {"name": "serve", "pid": 13, "state": "running"},
            {"name": "trainer", "pid": None, "state": "waiting"},
        ],
        "events": [
            {
                "sequence": 1,
                "at": START + 40,
                "kind": "FineTuneStarted",
                "reason": "Due",
                "message": "from version 1",
            },
            {
                "sequence": 2,
                "at": START + 90,
                "kind": "Promoted",
                "reason": "Promoted",
                "message": "version 2 is live",
                "version": 2,
            },
        ],
        "something_new": {"is": "ignored"},
    }
    return UpStatus.model_validate(values | changes)


@pytest.fixture
def samples() -> SimpleNamespace:
    """START, simulator(**changes) and up(**changes)."""
    return SimpleNamespace(START=START, simulator=simulator, up=up)
