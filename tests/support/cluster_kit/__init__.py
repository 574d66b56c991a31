"""The test kit of tests/cluster as objects: a node, its images, a broker beside it. Used by the fixtures of tests/."""

from cluster_kit._images import Images, build_images, version
from cluster_kit._kafka import NodeKafka, kafka_beside
from cluster_kit._node import Node, any_node
from cluster_kit._places import KIT, ROOT, Unavailable, archive, cache

__all__ = [
    "KIT",
    "ROOT",
    "Images",
    "Node",
    "NodeKafka",
    "Unavailable",
    "any_node",
    "archive",
    "build_images",
    "cache",
    "kafka_beside",
    "version",
]
