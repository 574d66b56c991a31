"""The whole lifecycle in a small world that is killed, restarted and lied to at every point."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hemline_api.report import SnapshotRef, TrainingReport, Verdict
from hemline_operator.lifecycle import (
    BadState,
    CanaryPolicy,
    EventKind,
    Fresh,
    Note,
    Observed,
    Policy,
    RunLimits,
    Score,
    StartTrainer,
    State,
    StopTrainer,
    TakeSnapshot,
    Trial,
    begin,
    interrupted,
    record,
    step,
)

START = datetime(2026, 1, 2, tzinfo=UTC)


class World(RuleBasedStateMachine):
    """A lake that counts labels, a trainer that may die, a driver that may be killed between any two of its acts."""

    @initialize(
        canary=st.sampled_from([None, 0.1]),
        cooldown=st.sampled_from([0, 30]),
        retries=st.integers(0, 2),
    )
    def build(self, canary: float | None, cooldown: int, retries: int) -> None:
        self.policy = Policy(
            every=10,
            cooldown=timedelta(seconds=cooldown),
            canary=CanaryPolicy(fraction=canary, min_labelled=20, early_labelled=5),
            limits=RunLimits(retries=retries, deadline=timedelta(seconds=200)),
        )
        self.now = START
        self.labels = 0
        self.versions = [1]
        self.tags: dict[str, SnapshotRef] = {}
        self.reports: dict[str, TrainingReport] = {}
        self.trainer: str | None = None
        self.runs_begun: dict[str, int] = {}
        self.pin: int | None = None
        self.refused: dict[int, str] = {}
        self.scores = {"stable": Score(0, 0), "canary": Score(0, 0)}
        self.log: dict[int, EventKind] = {}
        self.stored = begin("mnist", 1).to_json()
        self.old_fresh: Fresh | None = None
        self.counted_at_creation: dict[str, int] = {}
        self.decided: set[str] = set()

    # --- the world ---------------------------------------------------------------------------------------------

    @rule(number=st.integers(5, 25))
    def labels_come(self, number: int) -> None:
        self.labels += number

    @rule(seconds=st.sampled_from([1, 5, 40, 250]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.trainer is not None)
    @rule()
    def trainer_is_killed(self) -> None:
        self.trainer = None

    @precondition(lambda self: self.trainer is not None)
    @rule(verdict=st.sampled_from(list(Verdict)))
    def trainer_ends(self, verdict: Verdict) -> None:
        uid = self.trainer
        assert uid is not None
        if uid not in self.reports:
            version = max(self.versions) + 1
            self.versions.append(version)
            state = State.from_json(self.stored)
            assert state.active is not None and state.active.uid == uid
            self.reports[uid] = TrainingReport(
                uid=uid,
                classifier="mnist",
                verdict=verdict,
                reasons=("because",),
                base_version=state.active.base_version,
                version=version,
                snapshot=self.tags[uid],
                samples=1,
                fresh_samples=1,
                steps=1,
                batch_size=1,
                started_at=self.now,
                finished_at=self.now,
            )
        self.trainer = None

    @rule(data=st.data())
    def user_pins(self, data: st.DataObject) -> None:
        # mostly none, so that the world goes on
        self.pin = data.draw(st.sampled_from([None, None, None, 99, *self.versions[-2:]]))

    @rule(data=st.data())
    def inference_refuses(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from([None, None, *self.versions[-2:]]))
        self.refused = {} if version is None else {version: "checksum"}

    @rule(right=st.integers(0, 40))
    def labels_score_a_trial(self, right: int) -> None:
        self.scores = {"stable": Score(40, 30), "canary": Score(40, right)}

    # --- the driver --------------------------------------------------------------------------------------------

    def observe(self, state: State, *, stale: bool = False) -> Observed:
        since = state.since
        fresh = Fresh(since, self.labels - (since.labels if since else 0))
        if stale and self.old_fresh is not None:
            fresh = self.old_fresh
        elif since is None or self.old_fresh is None or self.old_fresh.labelled < 10:
            self.old_fresh = fresh
        run = state.active
        return Observed(
            fresh=fresh,
            snapshots=dict(self.tags),
            trainer_alive=self.trainer is not None,
            report=self.reports.get(run.uid) if run else None,
            trial=Trial(state.rollout.revision, **self.scores),
            served=(state.rollout.revision, self.snapshot()),
            refused=self.refused,
            pin=self.pin,
            known=self.versions,
        )

    def snapshot(self) -> SnapshotRef:
        return SnapshotRef(images=self.labels, labels=self.labels, predictions=self.labels)

    @rule(rounds=st.integers(1, 6), killed=st.sampled_from(["all", "stored", "nothing"]))
    def driver_runs(self, rounds: int, killed: str) -> None:
        """Some rounds, a second apart; in the last one the driver may be killed anywhere."""
        for _ in range(rounds - 1):
            self.driver_steps(stale=False, survives="all")
            self.now += timedelta(seconds=1)
        self.driver_steps(stale=False, survives=killed)

    @rule()
    def driver_reads_an_old_summary(self) -> None:
        self.driver_steps(stale=True, survives="all")

    def driver_steps(self, *, stale: bool, survives: str) -> None:
        """One round; the driver may be killed before it stores, or after storing and before it acts."""
        state = State.from_json(self.stored)
        for event in state.outbox:  # what a killed driver left to be logged
            self.log.setdefault(event.sequence, event.kind)
        plan = step(self.policy, state, self.observe(state, stale=stale), self.now)
        assert plan.note.message
        if survives == "nothing":
            return
        self.check_transition(state, plan.state)
        self.stored = plan.state.to_json()
        if survives == "stored":
            return
        for event in plan.state.outbox:
            self.log.setdefault(event.sequence, event.kind)
        for effect in plan.effects:
            self.act(effect)

    def act(self, effect: object) -> None:
        match effect:
            case TakeSnapshot(uid):
                self.tags.setdefault(uid, self.snapshot())
            case StartTrainer(run):
                assert self.trainer is None, "two trainers at once"
                assert run.uid not in self.decided, "a run that was decided is started again"
                self.runs_begun[run.uid] = self.runs_begun.get(run.uid, 0) + 1
                assert self.runs_begun[run.uid] <= self.policy.limits.retries + 1
                assert run.snapshot == self.tags[run.uid]
                self.trainer = run.uid
            case StopTrainer():
                self.trainer = None

    @rule()
    def driver_ends_in_order(self) -> None:
        state = State.from_json(self.stored)
        if self.trainer is not None:
            self.trainer = None
            self.runs_begun[state.active.uid] -= 1
            self.stored = interrupted(state, self.now).to_json()

    def check_transition(self, before: State, after: State) -> None:
        if after.rollout != before.rollout:
            assert after.rollout.revision == before.rollout.revision + 1
        assert after.rollout.stable in self.versions
        assert all(version in self.versions for version in after.rollout.versions())
        assert after.sequence >= before.sequence
        if after.created > before.created:
            assert after.created == before.created + 1
            assert before.active is None
            assert before.rollout.canary is None
            assert before.pin is None
            assert after.active is not None
            assert after.active.uid not in self.counted_at_creation, "one uid, created twice"
            new = self.labels - (before.since.labels if before.since else 0)
            assert new >= self.policy.every, "fired for samples that an attempt has had"
            if before.last is not None:
                assert self.now >= before.last.ended_at + self.policy.cooldown
            self.counted_at_creation[after.active.uid] = new
        if after.ended > before.ended:
            assert before.active is not None
            assert before.active.uid not in self.decided, "one run, decided twice"
            self.decided.add(before.active.uid)
        if after.promoted > before.promoted:
            assert before.pin is None

    @invariant()
    def attempts_never_share_samples(self) -> None:
        if not hasattr(self, "stored"):
            return
        state = State.from_json(self.stored)
        assert state.created * self.policy.every <= self.labels
        assert state.created - state.ended == (1 if state.active else 0)

    @invariant()
    def no_event_is_lost(self) -> None:
        if not hasattr(self, "stored"):
            return
        state = State.from_json(self.stored)
        known = set(self.log) | {event.sequence for event in state.outbox}
        assert known == set(range(1, state.sequence + 1))


World.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestWorld = World.TestCase


def test_the_same_samples_never_fire_twice_whatever_restarts() -> None:
    """The plain story, step by step, with the state going through its stored form at each."""
    policy = Policy(every=10)
    state = begin("mnist", 1)
    snapshot = SnapshotRef(images=10, labels=10, predictions=10)

    def advance(observed: Observed):
        nonlocal state
        plan = step(policy, State.from_json(state.to_json()), observed, START)
        state = plan.state
        return plan

    assert advance(Observed(fresh=Fresh(None, 9))).effects == ()
    assert advance(Observed(fresh=Fresh(None, 10))).effects == (TakeSnapshot("mnist-ft-1"),)
    assert advance(Observed(fresh=Fresh(None, 10))).effects == (TakeSnapshot("mnist-ft-1"),)
    advance(Observed(snapshots={"mnist-ft-1": snapshot}))
    started = advance(Observed())
    assert isinstance(started.effects[0], StartTrainer)
    assert advance(Observed(trainer_alive=True)).effects == ()
    report = TrainingReport(
        uid="mnist-ft-1",
        classifier="mnist",
        verdict=Verdict.NOT_IMPROVED,
        base_version=1,
        version=2,
        snapshot=snapshot,
        samples=10,
        fresh_samples=10,
        steps=1,
        batch_size=1,
        started_at=START,
        finished_at=START,
    )
    other = report.model_copy(update={"uid": "mnist-ft-7"})
    assert advance(Observed(report=other, trainer_alive=True)).state.active is not None
    advance(Observed(report=report))
    assert state.active is None and state.rollout.stable == 1
    # the summary that was asked for before the attempt is stale now
    assert advance(Observed(fresh=Fresh(None, 25))).state.active is None
    assert advance(Observed(fresh=Fresh(snapshot, 9))).state.active is None
    assert advance(Observed(fresh=Fresh(snapshot, 10))).effects == (TakeSnapshot("mnist-ft-2"),)


def test_a_run_without_a_report_is_given_up_and_its_samples_are_not_new_again() -> None:
    policy = Policy(every=10, limits=RunLimits(retries=0, backoff=timedelta(0)))
    state = begin("mnist", 1)
    snapshot = SnapshotRef(images=1, labels=1, predictions=1)
    for observed in (
        Observed(fresh=Fresh(None, 10)),
        Observed(snapshots={"mnist-ft-1": snapshot}),
        Observed(),
        Observed(),
    ):
        state = step(policy, state, observed, START).state
    assert state.active is None and state.last is not None
    assert state.last.outcome == "BackoffLimitExceeded"
    assert state.since == snapshot
    assert state.outbox[-1].kind is EventKind.FINE_TUNE_FAILED


def test_an_orderly_end_does_not_count_against_a_run() -> None:
    policy = Policy(every=1, limits=RunLimits(retries=0))
    state = begin("mnist", 1)
    snapshot = SnapshotRef(images=1, labels=1, predictions=1)
    for observed in (
        Observed(fresh=Fresh(None, 1)),
        Observed(snapshots={"mnist-ft-1": snapshot}),
        Observed(),
    ):
        state = step(policy, state, observed, START).state
    assert state.active is not None and state.active.starts == 1
    state = interrupted(state, START)
    plan = step(policy, state, Observed(), START)
    assert isinstance(plan.effects[0], StartTrainer)
    assert plan.state.outbox[-1].kind is EventKind.FINE_TUNE_RETRIED


def test_a_refused_pin_is_said_once_and_hinders_nothing() -> None:
    policy = Policy(every=5)
    state = begin("mnist", 1)
    observed = Observed(pin=9, known=[1], fresh=Fresh(None, 5))
    plan = step(policy, state, observed, START)
    assert plan.state.outbox[-1].kind is EventKind.PIN_REFUSED
    again = step(policy, plan.state, observed, START)
    assert again.state.created == 1
    later = step(policy, plan.state, Observed(pin=9, known=[1, 9]), START)
    assert later.state.rollout.stable == 9 and later.state.pin == 9


def test_a_driver_adds_its_own_events() -> None:
    state = record(begin("mnist", 1), EventKind.READY, Note("Started", "ready"), START)
    state = record(state, EventKind.PROCESS_RESTARTED, Note("Died", "inference died"), START)
    assert [event.sequence for event in state.outbox] == [1, 2]


@pytest.mark.parametrize("data", [b"", b"{}", b'{"classifier": "mnist"}', b"[1]"])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(BadState, match="no lifecycle state"):
        State.from_json(data)


def test_a_state_with_an_unknown_field_is_refused_rather_than_cut() -> None:
    data = begin("mnist", 1).to_json().replace(b'"classifier"', b'"newer": 1, "classifier"')
    with pytest.raises(BadState, match="newer"):
        State.from_json(data)
