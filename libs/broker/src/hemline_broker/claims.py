"""Bodies that travel by claim check: how to clean up after them. Needs the extra `claim-check`."""

from hemline_broker._claimstore import sweep

__all__ = ["sweep"]
