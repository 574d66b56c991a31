"""A mock client: streams images, collects predictions, sends late labels, keeps the books.

What is here works without a broker: the timing, the drifts, the books. The running client is the console script
``hemline-client-sim``; ``Status`` is what its ``/status`` and its books file hold.
"""

from hemline_client_sim._audit import Audit, audit
from hemline_client_sim._books import Books, Counts, Tally
from hemline_client_sim._drift import KINDS, Change, transform
from hemline_client_sim._errors import BadDrift, BadJournal, BadSchedule, SimulatorError
from hemline_client_sim._journal import Header, Journal, read_journal
from hemline_client_sim._phases import Phase, Phases
from hemline_client_sim._schedule import DelayShape, Schedule
from hemline_client_sim._status import BinStatus, PhaseStatus, Status, TallyStatus, WindowStatus
from hemline_client_sim._stream import Encoding, Picture, Stream
from hemline_client_sim._window import AccuracyBins, AccuracyWindow, Bin, Share

__all__ = [
    "KINDS",
    "AccuracyBins",
    "AccuracyWindow",
    "Audit",
    "BadDrift",
    "BadJournal",
    "BadSchedule",
    "Bin",
    "BinStatus",
    "Books",
    "Change",
    "Counts",
    "DelayShape",
    "Encoding",
    "Header",
    "Journal",
    "Phase",
    "PhaseStatus",
    "Phases",
    "Picture",
    "Schedule",
    "Share",
    "SimulatorError",
    "Status",
    "Stream",
    "Tally",
    "TallyStatus",
    "WindowStatus",
    "audit",
    "read_journal",
    "transform",
]
