"""Kills `hemline up` before or after its n-th act: a file that comes into being, a process that is started."""

import os
import pathlib
import signal
import subprocess
import sys

_AT = os.environ.get("KILL_UP_AT")
_IS_UP = sys.orig_argv[1:4] == ["-m", "hemline", "up"]

if _AT and _IS_UP:
    counter = iter(range(1, 1_000_000))

    def _maybe_die() -> None:
        if next(counter) == int(_AT):
            os.kill(os.getpid(), signal.SIGKILL)

    def _deadly(function):
        def act(*args, **kwargs):
            _maybe_die()
            result = function(*args, **kwargs)
            _maybe_die()
            return result

        return act

    pathlib.Path.replace = _deadly(pathlib.Path.replace)
    subprocess.Popen.__init__ = _deadly(subprocess.Popen.__init__)
