"""A Prometheus of a test's own, and the questions that tests ask it."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

Sample = tuple[float, str]


class Prometheus:
    """A real server on a port of its own, as a context manager.

    Args:
        tools: folder of the program.
        folder: for its data, configuration and log.
        port: a free one.
        scrape: its ``scrape_configs``.
        rules: files of rules, evaluated every second as targets are scraped.
    """

    def __init__(
        self, tools: Path, folder: Path, port: int, scrape: list[dict[str, Any]], rules: list[Path]
    ) -> None:
        self._tools, self._folder, self._port = tools, folder, port
        config = {
            "global": {
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "evaluation_interval": "1s",
            },
            "rule_files": [str(path) for path in rules],
            "scrape_configs": scrape,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self.log = folder / "prometheus.log"

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._tools / "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 60
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError(f"Prometheus does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(60)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._port}/-/ready", timeout=5
            ) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP API.

        Raises:
            ValueError: it refuses the question, as it does what is no PromQL.
        """
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as refused:
            raise ValueError(f"{parameters}: {refused.read().decode()}") from refused

    def since(self, query: str, began: float) -> list[list[Sample]]:
        """The samples of each series of a query, second by second from a time until now, without those that are NaN."""
        answer = self.ask(
            "query_range", query=query, start=str(began), end=str(time.time()), step="1"
        )
        found = [
            [one for one in series["values"] if one[1] != "NaN"] for series in answer["result"]
        ]
        return [samples for samples in found if samples]

    def series(self, matcher: str) -> list[dict[str, str]]:
        """The labels of every series."""
        found: list[dict[str, str]] = self.ask("series", **{"match[]": matcher})
        return found
