"""What ``/status`` of ``hemline up`` says. ``hemline top`` and the demo read it."""

from typing import Final

from pydantic import BaseModel, ConfigDict

from hemline.up._services import Services
from hemline.up._training import Training
from hemline.up._watch import Sight
from hemline_api.rollout import Canary
from hemline_operator.lifecycle import Event, Note, Reason, State

__all__ = [
    "FineTuneStatus",
    "ProcessStatus",
    "SampleCounts",
    "UpStatus",
    "VersionStatus",
    "make_status",
]

_WORDS: Final = {
    Reason.WAITING_FOR_SAMPLES: "waiting",
    Reason.SUMMARY_UNKNOWN: "starting",
    Reason.COOLDOWN: "cooldown",
    Reason.SUSPENDED: "suspended",
    Reason.PINNED: "pinned",
    Reason.CANARY_ON_TRIAL: "canary",
    Reason.BACKOFF: "backoff",
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class FineTuneStatus(_Model):
    """What the lifecycle does, and why."""

    state: str = "starting"
    why: str = ""
    fresh: int | None = None
    due_at: int
    uid: str | None = None
    base: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    done: int = 0
    promoted: int = 0


class SampleCounts(_Model):
    """What the lake holds."""

    labelled: int = 0
    stream_labelled: int = 0
    waiting_for_label: int = 0
    waiting_for_image: int = 0


class VersionStatus(_Model):
    """How a version did on the newest labelled answers."""

    version: int
    labelled: int
    correct: int
    answered: int


class ProcessStatus(_Model):
    """One child."""

    name: str
    pid: int | None
    state: str
    restarts: int = 0
    http: str | None = None


class UpStatus(_Model):
    """One look at everything."""

    classifier: str
    ready: bool
    revision: int
    live: int
    canary: Canary | None = None
    pin: int | None = None
    fine_tune: FineTuneStatus
    samples: SampleCounts | None = None
    versions: tuple[VersionStatus, ...] = ()
    processes: tuple[ProcessStatus, ...] = ()
    events: tuple[Event, ...] = ()


def make_status(
    state: State,
    sight: Sight,
    note: Note,
    *,
    every: int,
    services: Services,
    training: Training,
    events: tuple[Event, ...],
) -> UpStatus:
    """Put together what is known now."""
    seen = sight.seen
    current = seen is not None and seen.fresh.since == state.since
    return UpStatus(
        classifier=state.classifier,
        ready=services.ready and sight.revision == state.rollout.revision,
        revision=state.rollout.revision,
        live=state.rollout.stable,
        canary=state.rollout.canary,
        pin=state.pin,
        fine_tune=_fine_tune(
            state, sight, note, every, seen.fresh.labelled if seen and current else None
        ),
        samples=SampleCounts(
            labelled=seen.labelled,
            stream_labelled=seen.stream_labelled,
            waiting_for_label=seen.waiting_for_label,
            waiting_for_image=seen.waiting_for_image,
        )
        if seen
        else None,
        versions=tuple(
            VersionStatus(
                version=one.version,
                labelled=one.labelled,
                correct=one.correct,
                answered=one.answered,
            )
            for one in (seen.versions if seen else ())
        ),
        processes=_processes(services, training),
        events=events,
    )


def _fine_tune(
    state: State, sight: Sight, note: Note, every: int, fresh: int | None
) -> FineTuneStatus:
    common = FineTuneStatus(
        why=note.message, fresh=fresh, due_at=every, done=state.ended, promoted=state.promoted
    )
    if state.active is None:
        word = (
            _WORDS.get(Reason(note.reason), "waiting") if note.reason in set(Reason) else "waiting"
        )
        return common.model_copy(update={"state": word})
    progress = sight.trainer or {}
    step, steps, loss = progress.get("step"), progress.get("steps"), progress.get("loss")
    word = str(progress.get("phase") or _WORDS.get(Reason(note.reason), "running"))
    return common.model_copy(
        update={
            "state": word,
            "uid": state.active.uid,
            "base": state.active.base_version,
            "step": step if isinstance(step, int) else None,
            "steps": steps if isinstance(steps, int) else None,
            "loss": float(loss) if isinstance(loss, int | float) else None,
        }
    )


def _processes(services: Services, training: Training) -> tuple[ProcessStatus, ...]:
    found = [
        ProcessStatus(
            name=service.name,
            pid=service.child.pid if service.child else None,
            state=service.state,
            restarts=service.restarts,
            http=service.http,
        )
        for service in reversed(services.all)
    ]
    if (trainer := training.child) is not None:
        found.append(
            ProcessStatus(name="trainer", pid=trainer.pid, state="running", http=training.http)
        )
    return tuple(found)
