"""What `serve` says of the lake, and that it says nothing rather than something old."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import hemline_model as hm
from hemline_samples._catalog import Catalog
from hemline_samples._errors import NotReady
from hemline_samples._lake_gauges import LakeGauges
from hemline_store import Lake
from hemline_store.tables import ImageRow, LabelRow, PredictionRow

NOW = datetime.now(UTC)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    lake = Lake(str(tmp_path / "lake"), "mnist")
    lake.models.publish(hm.pretrained("fashion-mnist"), uid="initial")
    return Catalog(lake, cache_bytes=0)


def fill(catalog: Catalog) -> None:
    """Six images: an old one and five new ones, of which version 1 answered two, one rightly; one more is labelled."""
    samples = catalog.samples
    received = [NOW - timedelta(hours=3), *[NOW] * 5]
    samples.append_images(
        [ImageRow(str(n), b"bytes", "image/png", at) for n, at in enumerate(received)]
    )
    samples.append_predictions(
        [
            PredictionRow(
                id=str(n),
                label=5,
                label_name="Sandal",
                confidence=0.9,
                model_version=1,
                received_at=NOW,
                predicted_at=NOW,
                event_id=str(n),
            )
            for n in (1, 2)
        ]
    )
    samples.append_labels(
        [
            LabelRow(
                id=str(n),
                label=label,
                label_name=None,
                retracted=False,
                time=NOW,
                event_id=str(n),
                received_at=NOW,
            )
            for n, label in ((1, 5), (2, 6), (3, 7))
        ]
    )


def test_the_lake_is_counted_and_old_counts_are_not_shown(catalog: Catalog) -> None:
    registry, clock = CollectorRegistry(), Clock()
    gauges = LakeGauges(catalog, registry, clock=clock)
    fill(catalog)
    value = registry.get_sample_value
    assert value("hemline_serve_unanswered_images") is None
    gauges.refresh()
    assert value("hemline_serve_labelled_samples", {"origin": "stream"}) == 3
    assert value("hemline_serve_labelled_samples", {"origin": "import"}) == 0
    assert value("hemline_serve_waiting_images") == 3
    assert value("hemline_serve_unanswered_images") == 3  # the one of three hours ago is given up
    assert value("hemline_serve_live_accuracy_samples", {"version": "1"}) == 2
    assert value("hemline_serve_live_accuracy_ratio", {"version": "1"}) == 0.5
    clock.now = 61.0
    assert value("hemline_serve_unanswered_images") is None
    gauges.refresh()
    assert value("hemline_serve_unanswered_images") == 3


def test_an_empty_lake_cannot_be_counted(tmp_path: Path) -> None:
    catalog = Catalog(Lake(str(tmp_path / "lake"), "mnist"), cache_bytes=0)
    gauges = LakeGauges(catalog, CollectorRegistry())
    with pytest.raises(NotReady):
        gauges.refresh()
