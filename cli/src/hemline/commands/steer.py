"""``hemline rollback``, ``pin`` and ``unpin``: say which version serves; ``hemline up`` follows."""

import time
from typing import Annotated, Final

import typer

from hemline._place import Installation, StateDir, StateOption, require_installation
from hemline.up._http import get_status
from hemline_api.rollout import Rollout
from hemline_operator.lifecycle import State
from hemline_runtime import Failure
from hemline_store import Lake

__all__ = ["pin", "rollback", "unpin"]

TimeoutOption = Annotated[
    float, typer.Option(min=0.0, help="Seconds to wait until it serves everywhere.")
]
_LOOK_EVERY: Final = 0.2


def rollback(
    version: Annotated[
        int | None,
        typer.Argument(min=1, help="Where to; default: what served before.", show_default=False),
    ] = None,
    state: StateOption = None,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Go back to an earlier version and stay there: nothing is promoted until `hemline unpin`.

    Examples:

      hemline rollback          to the version that served before this one

      hemline rollback 3        to version 3
    """
    place, installation = require_installation(state)
    stored = _stored(place)
    target = version if version is not None else stored.previous
    if target is None:
        raise Failure(
            f"version {stored.rollout.stable} is the first that served here, so there is none before it; name one, "
            "as `hemline models` lists them"
        )
    _pin(place, installation, target, timeout)


def pin(
    version: Annotated[
        int | None,
        typer.Argument(min=1, help="Which; default: what serves now.", show_default=False),
    ] = None,
    state: StateOption = None,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Keep one version live: nothing is promoted, no canary is tried, until `hemline unpin`.

    Examples:

      hemline pin               the version that serves now

      hemline pin 3
    """
    place, installation = require_installation(state)
    target = version if version is not None else _stored(place).rollout.stable
    _pin(place, installation, target, timeout)


def unpin(state: StateOption = None) -> None:
    """Let better versions go live again.

    Example: hemline unpin
    """
    place, _ = require_installation(state)
    if not place.pin.exists():
        print("no version was pinned")
        return
    place.write_pin(None)
    print("unpinned: the next version that passes its gate goes live")


def _pin(place: StateDir, installation: Installation, version: int, timeout: float) -> None:
    known = Lake(installation.lake, installation.classifier).models.versions()
    if version not in known:
        listed = ", ".join(str(one) for one in known) or "none"
        raise Failure(f"there is no version {version}; the lake has {listed}")
    place.write_pin(version)
    if installation.stopped or installation.http is None:
        print(f"version {version} is pinned; it serves when `hemline up` runs again")
        return
    deadline = time.monotonic() + timeout
    while True:
        rollout = _rollout(place)
        if rollout is not None and rollout.versions() == (version,):
            process = installation.processes.get("inference")
            status = get_status(process.http) if process and process.http else None
            if status is not None and status.get("revision") == rollout.revision:
                print(f"version {version} serves (revision {rollout.revision}) and is pinned")
                return
        if time.monotonic() >= deadline:
            raise Failure(
                f"version {version} is pinned, but does not serve after {timeout:g} s; is `hemline up` running? "
                "See `hemline top`"
            )
        time.sleep(_LOOK_EVERY)
        installation = place.read_installation() or installation


def _stored(place: StateDir) -> State:
    try:
        return State.from_json(place.lifecycle.read_bytes())
    except FileNotFoundError as error:
        raise Failure(f"{place.root} is being set up; wait until `hemline up` is ready") from error


def _rollout(place: StateDir) -> Rollout | None:
    try:
        return Rollout.from_json(place.rollout.read_bytes())
    except FileNotFoundError:
        return None
