import math
from types import SimpleNamespace

import pytest
from rich.console import Console

from hemline.top import (
    Inference,
    Observed,
    event_line,
    make_view,
    moving_accuracy,
    render,
    sparkline,
    state_line,
)
from hemline.top._exposition import latency_quantile, read_figures
from hemline_client_sim import BinStatus


def drawn(observed: Observed, width: int = 110) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(render(make_view(observed, title="the demo")))
        return console.export_text()


def test_the_view_shows_what_is_going_on(samples: SimpleNamespace) -> None:
    text = drawn(
        Observed(
            now=samples.START + 180,
            up=samples.up(),
            simulator=samples.simulator(state="streaming"),
            lag={"mnist.images": 3, "mnist.labels": 0},
            notes=[(samples.START + 20, "Drift", "inversion")],
        )
    )
    for expected in (
        "19.8 images/s",
        "11 ms / 64 ms",
        "3,600 · 3,600",
        "mnist.images 3",
        "camera: inversion",
        "canary 20%",
        "82.0% of 200",
        "step 120 of 250, loss 0.412",
        "1,000 new labelled samples came",
        "restarts: 1",
        "version 2 is live",
        "Drift",
        "3:00",
    ):
        assert expected in text, expected
    assert max(len(line) for line in text.splitlines()) <= 110
    assert len(text.splitlines()) <= 35


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_view_fits_any_terminal(samples: SimpleNamespace, width: int) -> None:
    text = drawn(
        Observed(now=samples.START + 180, up=samples.up(), simulator=samples.simulator()), width
    )
    assert max(len(line) for line in text.splitlines()) <= width


def test_nothing_answers_yet_and_it_is_still_drawn() -> None:
    text = drawn(Observed(now=0.0))
    assert "starting" in text
    assert "nothing yet" in text


def test_without_a_simulator_inference_and_the_lake_speak(samples: SimpleNamespace) -> None:
    view = make_view(
        Observed(
            now=0.0,
            up=samples.up(versions=[{"version": 2, "labelled": 50, "correct": 40, "answered": 60}]),
            inference=Inference(rate=12.5, latency_p50=0.004, latency_p99=0.02),
        ),
        title="t",
    )
    assert view.rate == 12.5
    assert [(line.version, line.role, line.accuracy) for line in view.versions] == [
        (2, "live", 0.8),
        (3, "canary 20%", None),
    ]


def test_a_drift_to_come_is_announced(samples: SimpleNamespace) -> None:
    simulator = samples.simulator(phase=0, state="streaming")
    view = make_view(Observed(now=samples.START + 5, simulator=simulator), title="t")
    assert view.next_drift == ("inversion", 15.0)
    assert "inversion in 15 s" in drawn(Observed(now=samples.START + 5, simulator=simulator))


def test_plain_lines_say_the_same(samples: SimpleNamespace) -> None:
    view = make_view(
        Observed(now=samples.START + 180, up=samples.up(), simulator=samples.simulator()), title="t"
    )
    line = state_line(view)
    assert "\n" not in line
    for expected in ("3:00", "19.8 images/s", "version 2 (live) 82.0%", "running step 120 of 250"):
        assert expected in line
    assert event_line(view.events[-1]).endswith("Promoted: version 2 is live")
    assert state_line(make_view(Observed(now=0.0), title="t"))


def test_moving_accuracy_over_a_window_of_answers() -> None:
    bins = [
        BinStatus(version=1, start=float(at), width=1.0, right=right, total=10)
        for at, right in enumerate([10, 10, 0, 0])
    ]
    points = moving_accuracy(bins, answers=20)
    assert [(point.at, point.accuracy) for point in points] == [(1, 1), (2, 1), (3, 0.5), (4, 0)]
    assert [point.answers for point in points] == [10, 20, 20, 20]


def test_a_gap_in_the_stream_forgets() -> None:
    bins = [
        BinStatus(version=1, start=at, width=1.0, right=right, total=10)
        for at, right in ((0.0, 10), (100.0, 0))
    ]
    assert [point.accuracy for point in moving_accuracy(bins, answers=100)] == [1.0, 0.0]
    assert moving_accuracy([]) == []


def test_bins_of_several_versions_are_added_up() -> None:
    bins = [
        BinStatus(version=version, start=0.0, width=1.0, right=right, total=10)
        for version, right in ((1, 10), (2, 0))
    ]
    assert [point.accuracy for point in moving_accuracy(bins)] == [0.5]


def test_sparkline() -> None:
    assert sparkline([0.0, 0.5, 1.0, None, 2.0, -1.0]) == "▁▅█ █▁"


EXPOSITION = """\
# TYPE hemline_broker_lag_messages gauge
hemline_broker_lag_messages{topic="mnist.images",group="inference"} 4.0
hemline_broker_lag_messages{topic="mnist.images",group="collect"} 2.0
# TYPE hemline_inference_predictions counter
hemline_inference_predictions_total{version="1",label="bag"} 3.0
hemline_inference_predictions_total{version="2",label="bag"} 4.0
# TYPE hemline_inference_latency_seconds histogram
hemline_inference_latency_seconds_bucket{le="0.01"} 5.0
hemline_inference_latency_seconds_bucket{le="0.1"} 9.0
hemline_inference_latency_seconds_bucket{le="+Inf"} 10.0
hemline_inference_latency_seconds_count 10.0
hemline_inference_latency_seconds_sum 1.0
"""


def test_figures_are_read_from_an_exposition() -> None:
    figures = read_figures(EXPOSITION)
    assert figures.lag == {"mnist.images": 6}
    assert figures.predictions == 7
    assert figures.latency == {0.01: 5, 0.1: 9, math.inf: 10}


def test_quantiles_of_what_came_in_between() -> None:
    latency = read_figures(EXPOSITION).latency
    assert latency_quantile({}, latency, 0.5) == pytest.approx(0.01)
    assert latency_quantile({}, latency, 0.7) == pytest.approx(0.055)
    assert latency_quantile({}, latency, 0.99) == 0.1
    assert latency_quantile({0.01: 5, 0.1: 5, math.inf: 5}, latency, 0.5) == pytest.approx(
        0.01 + 0.09 * 2.5 / 4
    )
    assert latency_quantile(latency, latency, 0.5) is None
    assert latency_quantile({}, {}, 0.5) is None
