"""What tests of the Kubernetes driver share."""

from hemline_operator.testing._world import Killed, World

__all__ = ["Killed", "World"]
