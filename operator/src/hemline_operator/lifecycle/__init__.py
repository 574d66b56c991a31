"""The lifecycle of a classifier as pure functions: (policy, state, observed, now) give decisions as data.

No input or output, no clock. ``step`` is the whole lifecycle for a driver that keeps one ``State``; the functions
that it is made of (``due``, ``follow``, ``judge``, ``weigh``, ``follow_pin``, ``follow_refusals``) serve a driver
that keeps its state elsewhere.
"""

from hemline_operator.lifecycle._canary import CanaryMemory, Score, Trial, p_worse, weigh
from hemline_operator.lifecycle._due import Due, due, fine_tune_uid, runs_so_far
from hemline_operator.lifecycle._errors import BadPolicy, BadState, LifecycleError
from hemline_operator.lifecycle._machine import (
    Effect,
    Fresh,
    Observed,
    Plan,
    StartTrainer,
    StopTrainer,
    TakeSnapshot,
    begin,
    step,
)
from hemline_operator.lifecycle._policy import CanaryPolicy, Policy, RunLimits
from hemline_operator.lifecycle._rollout import (
    follow_pin,
    follow_refusals,
    gain_in_words,
    initial_rollout,
    judge,
)
from hemline_operator.lifecycle._run import RunAction, RunDecision, follow
from hemline_operator.lifecycle._state import Attempt, FineTune, State
from hemline_operator.lifecycle._upkeep import interrupted, record
from hemline_operator.lifecycle._words import Change, Event, EventKind, Note, Reason

__all__ = [
    "Attempt",
    "BadPolicy",
    "BadState",
    "CanaryMemory",
    "CanaryPolicy",
    "Change",
    "Due",
    "Effect",
    "Event",
    "EventKind",
    "FineTune",
    "Fresh",
    "LifecycleError",
    "Note",
    "Observed",
    "Plan",
    "Policy",
    "Reason",
    "RunAction",
    "RunDecision",
    "RunLimits",
    "Score",
    "StartTrainer",
    "State",
    "StopTrainer",
    "TakeSnapshot",
    "Trial",
    "begin",
    "due",
    "fine_tune_uid",
    "follow",
    "follow_pin",
    "follow_refusals",
    "gain_in_words",
    "initial_rollout",
    "interrupted",
    "judge",
    "p_worse",
    "record",
    "runs_so_far",
    "step",
    "weigh",
]
