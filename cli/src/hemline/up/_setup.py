"""Before the loop begins: the lake, the topics, the first state."""

import logging
import subprocess
from typing import Final

from hemline.up._commands import init_command
from hemline.up._settings import UpSettings
from hemline_api import BadReport
from hemline_api.report import TrainingReport
from hemline_api.topics import Topics
from hemline_broker import connect
from hemline_operator.lifecycle import State, begin, runs_so_far
from hemline_runtime import Failure
from hemline_store import Lake

__all__ = ["ensure_topics", "first_state", "initialise_lake"]

_log = logging.getLogger(__name__)

_GROUPS: Final = {
    "images": ("inference", "collect"),
    "predictions": ("collect",),
    "labels": ("collect",),
}
"""Who reads what: groups exist before the first message, so that none is missed."""


def initialise_lake(settings: UpSettings) -> None:
    """Bring the initial model and data set into a new lake; does nothing more when they are there.

    A process of its own, as on Kubernetes: the table library stays out of this one's memory.

    Raises:
        Failure: that did not succeed; what was wrong is on stderr.
    """
    done = subprocess.run(init_command(settings), stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Failure(
            f"the lake {settings.lake} could not be set up (hemline-samples init ended with status {done.returncode}, "
            "see above)",
            exit_code=done.returncode if done.returncode in (1, 2) else 1,
        )


async def ensure_topics(settings: UpSettings) -> None:
    """Make the topics and the groups that read them, before anything is sent."""
    topics = Topics(settings.classifier, settings.namespace)
    async with connect(settings.broker) as broker:
        for topic in topics.all():
            await broker.ensure(topic)
        for role, groups in _GROUPS.items():
            topic = getattr(topics, role)
            for group in groups:
                await broker.ensure(topic, group, start="oldest")


def first_state(settings: UpSettings) -> State:
    """The state of an installation that has none: what serves, and how many fine-tunes the lake has seen.

    The newest version that passed its gate serves; in a new lake that is the only one.

    Raises:
        Failure: the lake has no version.
    """
    lake = Lake(settings.lake, settings.classifier)
    versions = lake.models.versions()
    if not versions:
        raise Failure(f"the lake {settings.lake} has no version of {settings.classifier} to serve")
    uids = {version: lake.models.card(version).get("run_uid") for version in versions}
    created = runs_so_far(settings.classifier, uids.values())
    for version in reversed(versions):
        if _passed(lake, uids[version]):
            return begin(settings.classifier, version, created=created)
    return begin(settings.classifier, versions[0], created=created)


def _passed(lake: Lake, uid: str | None) -> bool:
    data = lake.reports.get(uid) if uid else None
    if data is None:
        return False
    try:
        return TrainingReport.from_json(data).promotable
    except BadReport as error:
        _log.warning("the report of %s is left out: %s", uid, error)
        return False
