"""The conformance suite: what every backend must do, as named behaviours to run against one.

A driver's test module needs no more than this::

    from hemline_broker.testing import Conformance, Harness

    class TestMine(Conformance):
        @pytest.fixture
        def harness(self) -> Harness:
            return Harness("mine://somewhere")

Capabilities decide what is skipped. Needs pytest and pytest-asyncio in its automatic mode
(`pip install 'hemline-broker[testing,claim-check]'`).
"""

from hemline_broker.testing._claiming import Claiming
from hemline_broker.testing._crashing import Crashing
from hemline_broker.testing._failing import Failing
from hemline_broker.testing._harness import Harness, bodies, numbered
from hemline_broker.testing._receiving import Receiving
from hemline_broker.testing._sending import Sending
from hemline_broker.testing._stressing import Stressing
from hemline_broker.testing._transacting import Transacting


class Conformance(Sending, Receiving, Failing, Crashing, Transacting, Claiming, Stressing):
    """Every behaviour."""


__all__ = [
    "Claiming",
    "Conformance",
    "Crashing",
    "Failing",
    "Harness",
    "Receiving",
    "Sending",
    "Stressing",
    "Transacting",
    "bodies",
    "numbered",
]
