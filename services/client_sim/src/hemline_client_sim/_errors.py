"""Errors of the simulator.

::

    SimulatorError
    ├── BadSchedule   a mean, spread, rate or speed that no stream can have
    ├── BadDrift      a drift that cannot be read or applied
    └── BadJournal    a journal that cannot be read, or belongs to another run

None is worth a retry: the same options fail again.
"""

__all__ = ["BadDrift", "BadJournal", "BadSchedule", "SimulatorError"]


class SimulatorError(ValueError):
    """The simulator was asked for something it cannot do."""


class BadSchedule(SimulatorError):
    """A mean, spread, rate or speed is out of range."""


class BadDrift(SimulatorError):
    """A drift is unknown, or its strength or moment is out of range."""


class BadJournal(SimulatorError):
    """A journal is damaged in its middle, missing, or of another run."""
