"""Errors of the lifecycle.

LifecycleError (ValueError)
├── BadPolicy   a setting is out of range
└── BadState    a stored state cannot be read or contradicts itself

None of them is worth a retry: the same input fails again.
"""

__all__ = ["BadPolicy", "BadState", "LifecycleError"]


class LifecycleError(ValueError):
    """The lifecycle was given something it cannot decide by."""


class BadPolicy(LifecycleError):
    """A setting is out of range."""


class BadState(LifecycleError):
    """A stored state is no JSON, misses a field, or contradicts itself."""
