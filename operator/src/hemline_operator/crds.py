"""``hemline-operator-crds apply``: put the custom resource definitions of this version into a cluster.

Helm installs what lies in a chart's ``crds/`` once and never again, so the chart runs this before an upgrade.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import kopf
import typer

from hemline_api.resources import custom_resource_definitions
from hemline_operator.driver import login, watch_settings
from hemline_operator.kube import CUSTOM_RESOURCE_DEFINITION, KubeApi, KubeError

__all__ = ["NotEstablished", "apply_definitions", "main"]

T = TypeVar("T")

# Helm applies what lies in crds/ under this name at an install. Under another one, the next install over definitions
# that an uninstall left would end in a conflict with us.
_MANAGER: Final = "helm"
_PAUSE: Final = 0.5

app = typer.Typer(add_completion=False)


class NotEstablished(Exception):
    """The API server took a definition and did not begin to serve it in time."""


@app.callback()
def definitions() -> None:
    """The custom resource definitions of this version."""


@app.command()
def apply(
    timeout: Annotated[
        float, typer.Option(min=1.0, help="Seconds until every definition must be served.")
    ] = 60.0,
) -> None:
    """Apply them, whoever applied them before, and wait until they are served."""
    try:
        asyncio.run(_apply(timeout))
    except (kopf.LoginError, KubeError, NotEstablished) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


async def _apply(timeout: float) -> None:
    settings = watch_settings()
    async with KubeApi(lambda: login(settings), manager=_MANAGER) as api:
        for name in await apply_definitions(api, timeout=timeout):
            print(f"{name} applied")


async def apply_definitions(api: KubeApi, *, timeout: float = 60.0) -> list[str]:
    """Apply every definition and wait until it is served; returns their names.

    Args:
        api: with the rights to get, patch and create them.
        timeout: seconds for all of them.

    Raises:
        KubeError: the API server refused one, or could not be reached until the time was over.
        NotEstablished: one is not served when the time is over.
    """
    deadline = time.monotonic() + timeout
    names = []
    for definition in custom_resource_definitions():
        name = definition["metadata"]["name"]
        await _again_until(deadline, lambda one=definition: api.apply(one))  # type: ignore[misc]
        while not _established(await api.get(CUSTOM_RESOURCE_DEFINITION, None, name) or {}):
            if time.monotonic() > deadline:
                raise NotEstablished(f"{name} was applied and is not served after {timeout:g} s")
            await asyncio.sleep(_PAUSE)
        names.append(name)
    return names


async def _again_until(deadline: float, call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call while the same one may succeed later."""
    while True:
        try:
            return await call()
        except KubeError as error:
            if not error.retryable or time.monotonic() > deadline:
                raise
            await asyncio.sleep(_PAUSE)


def _established(definition: Mapping[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions", ())
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
