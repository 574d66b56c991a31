"""A real node with the project's own images and a real Kafka beside it, for everything under tests/.

``node`` (session)
    A cluster whose pods run: the one that KUBECONFIG names, the kit's node where one is up already
    (``tests/cluster/cluster.sh up``), or one of the session's own. ``node.kubeconfig``, ``node.kubectl(...)``,
    ``node.apply(manifest, ...)``, ``node.get(...)``, ``node.kill("kubelet")``; ``node.folder`` is None where the
    cluster is not the kit's.
``images`` (session)
    The project's images, built from its Dockerfiles and brought to the node: ``images.inference``,
    ``images["client-sim"]`` are references to put into a pod.
``node_kafka`` (session)
    A real broker: ``node_kafka.pods`` for ``spec.broker.address``, ``node_kafka.url`` for the test itself.
``image_table`` (session)
    The sizes of the images, built and not brought anywhere.
``node_namespace`` (each test)
    A namespace on the node under the restricted Pod Security Standard.

What cannot be had skips its tests with the reason, and fails them with ``CI=true``.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NoReturn

import pytest
from cluster_kit import Images, Node, NodeKafka, Unavailable, any_node, build_images, kafka_beside

_SLOW = 3000  # seconds: the first test that asks for the images waits for them to be built


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for a node first waits until it is built and up; that counts as part of the test's time."""
    slow = {"node", "image_table"}
    for item in items:
        asked = getattr(item, "fixturenames", ())
        if slow.intersection(asked) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_SLOW))


def _missing(reason: object) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"no cluster with a node: {reason}", pytrace=False)
    pytest.skip(f"no cluster with a node: {reason}")


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    with ExitStack() as stack:
        try:
            found = stack.enter_context(any_node())
        except Unavailable as error:
            _missing(error)
        yield found


@pytest.fixture(scope="session")
def images(node: Node) -> Images:
    try:
        return Images.on(node)
    except Unavailable as error:
        _missing(error)


@pytest.fixture(scope="session")
def image_table() -> str:
    """The table that images/build.sh prints once all images are built; needs no node."""
    try:
        return build_images()
    except Unavailable as error:
        _missing(error)


@pytest.fixture(scope="session")
def node_kafka(node: Node) -> Iterator[NodeKafka]:
    with ExitStack() as stack:
        try:
            found = stack.enter_context(kafka_beside(node))
        except Unavailable as error:
            _missing(error)
        yield found


@pytest.fixture
def node_namespace(node: Node) -> Iterator[str]:
    with node.namespace() as name:
        yield name
