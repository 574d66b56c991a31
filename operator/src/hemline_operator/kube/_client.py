"""Calls of the Kubernetes API over one HTTP session."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

import aiohttp

from hemline_operator.kube._errors import Missing, Unreachable, error_for
from hemline_operator.kube._kinds import Kind, kind_of

__all__ = ["KubeApi", "Login"]

Object = dict[str, Any]
Manifest = Mapping[str, Any]

_PAGE: Final = 500
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Connection(Protocol):
    """Where the API is and how to be let in (``kopf.ConnectionInfo``)."""

    @property
    def server(self) -> str:
        """Its address, as in https://host:port."""

    def as_http_headers(self) -> dict[str, str]:
        """The headers that prove who asks."""

    def as_ssl_context(self) -> ssl.SSLContext:
        """Whom to trust."""


Login = Callable[[], Awaitable[Connection]]
"""Finds the connection: called at the start, and again when the credentials were refused (tokens expire)."""


class KubeApi:
    """The Kubernetes API. Safe to share between tasks; no call retries by itself.

    Args:
        login: finds server and credentials.
        manager: the field manager that owns what is applied.
        timeout: seconds that a call may take.

    Every call raises a ``KubeError``.
    """

    def __init__(self, login: Login, *, manager: str, timeout: float = 30.0) -> None:
        self._login = login
        self._manager = manager
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """One object; None where it is not there."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except Missing:
            return None

    async def versions(
        self, kind: Kind, namespace: str | None, selector: str | None
    ) -> dict[str, str]:
        """The resource version of every object by its uid (metadata only crosses the wire)."""
        found: dict[str, str] = {}
        parameters = {"limit": str(_PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self._call(
                "GET", kind.path(namespace), parameters=parameters, accept=_METADATA_ONLY
            )
            for item in page["items"] or ():
                found[item["metadata"]["uid"]] = item["metadata"]["resourceVersion"]
            if not (more := page["metadata"].get("continue")):
                return found
            parameters["continue"] = more

    async def served(self, group: str) -> dict[str, tuple[str, ...]]:
        """The kinds of a group by their names, each with the versions it is served at, preferred one first."""
        try:
            described = await self._call("GET", f"/apis/{group}")
        except Missing:
            return {}
        found: dict[str, tuple[str, ...]] = {}
        for version in described["versions"]:
            resources = await self._call("GET", f"/apis/{version['groupVersion']}")
            for resource in resources["resources"]:
                if "/" not in resource["name"]:
                    kind = resource["kind"]
                    found[kind] = (*found.get(kind, ()), version["version"])
        return found

    async def apply(self, manifest: Manifest) -> Object:
        """Make the fields of a manifest so, and own them (server-side apply); those given up are removed."""
        meta = manifest["metadata"]
        return await self._call(
            "PATCH",
            kind_of(manifest).path(meta.get("namespace"), meta["name"]),
            body=manifest,
            content_type="application/apply-patch+yaml",
            parameters={"fieldManager": self._manager, "force": "true"},
        )

    async def create(self, manifest: Manifest) -> Object:
        """Make an object that must not be there yet (``Exists``)."""
        return await self._call(
            "POST",
            kind_of(manifest).path(manifest["metadata"]["namespace"]),
            body=manifest,
            parameters={"fieldManager": self._manager},
        )

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        changes: Manifest,
        *,
        subresource: str | None = None,
    ) -> Object:
        """Merge changes into an object. With ``metadata.resourceVersion`` in them, ``Conflict`` if it changed."""
        path = kind.path(namespace, name) + (f"/{subresource}" if subresource else "")
        return await self._call(
            "PATCH",
            path,
            body=changes,
            content_type="application/merge-patch+json",
            parameters={"fieldManager": self._manager},
        )

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str | None) -> None:
        """Delete the object that has this uid (None: any); nothing happens where it is gone."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._call("DELETE", kind.path(namespace, name), body=options)
        except Missing:
            return

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Manifest | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        parameters: Mapping[str, str] | None = None,
    ) -> Object:
        what = f"{method} {path}"
        headers = {"Accept": accept}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body).encode()
        for last in (False, True):
            session = await self._open()
            try:
                async with session.request(
                    method, path, data=data, headers=headers, params=parameters
                ) as answer:
                    text = await answer.read()
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Unreachable(f"{what}: {type(error).__name__}: {error}") from error
            if status == 401 and not last:
                await self._forget(session)
                continue
            break
        parsed = _parse(text)
        if status >= 300:
            raise error_for(status, parsed, what)
        return parsed

    async def _open(self) -> aiohttp.ClientSession:
        async with self._lock:
            if self._session is None:
                connection = await self._login()
                secure = connection.server.startswith("https:")
                self._session = aiohttp.ClientSession(
                    base_url=connection.server,
                    headers=connection.as_http_headers(),
                    connector=aiohttp.TCPConnector(
                        ssl=connection.as_ssl_context() if secure else False, limit=32
                    ),
                    timeout=self._timeout,
                )
            return self._session

    async def _forget(self, session: aiohttp.ClientSession) -> None:
        async with self._lock:
            if self._session is session:
                self._session = None
                await session.close()


def _parse(text: bytes) -> Object:
    try:
        parsed = json.loads(text) if text else {}
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
