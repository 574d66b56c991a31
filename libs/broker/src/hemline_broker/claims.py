"""Bodies that travel by claim check: how to clean up after them. Needs the extra `claim-check`."""

from hemline_broker._claimstore import Swept, expired, sweep

__all__ = ["Swept", "expired", "sweep"]
