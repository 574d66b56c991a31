"""``hemline up``: the lifecycle driven on one machine, without Kubernetes."""

from hemline.up._app import run_installation, up
from hemline.up._settings import GateSettings, TrainerSettings, UpSettings
from hemline.up._status import UpStatus

__all__ = ["GateSettings", "TrainerSettings", "UpSettings", "UpStatus", "run_installation", "up"]
