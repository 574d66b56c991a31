"""What tests of the Kubernetes driver share. Nothing of it runs in production.

``World`` needs nothing; ``hemline_operator.testing.cluster`` has what tests against a real API server need.
"""

from hemline_operator.testing._world import Killed, World

__all__ = ["Killed", "World"]
