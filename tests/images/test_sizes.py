"""How large the images are, beside their base; needs no node."""

import re

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # it may have to build them

MOST = {"operator": 200, "inference": 350}  # MB


def test_images_stay_small(image_table: str) -> None:
    print(image_table)
    sizes = {name: int(size) for name, size in re.findall(r"/([a-z-]+):\S+ +(\d+) MB", image_table)}
    assert set(sizes) == {"operator", "inference", "samples", "client-sim", "trainer"}, image_table
    for name, most in MOST.items():
        assert 0 < sizes[name] < most, image_table
