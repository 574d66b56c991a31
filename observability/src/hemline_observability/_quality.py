"""The dashboard *Model quality*: how right the answers are, how late one knows, and what fine-tunes changed."""

from grafana_foundation_sdk.models.dashboard import AnnotationQuery, Dashboard

from hemline_api import metrics as m
from hemline_observability._board import Row, annotation, board
from hemline_observability._panels import Query, figure, graph, thresholds
from hemline_observability._promql import mean, quantile, rate, ratio_interval, series

__all__ = ["quality"]

_SHARE = f"max by (version) ({series(m.SERVE_LIVE_ACCURACY)})"
_COUNT = f"max by (version) ({series(m.SERVE_LIVE_SAMPLES)})"
_CREATED = series(m.INFERENCE_MODEL_CREATED, 'role="stable"')
_LOW = ratio_interval(_SHARE, _COUNT, upper=False)
_HIGH = ratio_interval(_SHARE, _COUNT, upper=True)
# The live version's row of a value by version: its number is what one gauge says and what another carries as a label.
_LIVE = f'count_values("version", max({series(m.LIFECYCLE_LIVE)}))'


def quality() -> Dashboard:
    """Live accuracy with its interval, label delay, confidence, class mix, fine-tunes."""
    return board(
        "hemline-quality",
        "Hemline / Model quality",
        "One classifier's answers: how many are right, by version, and whether the model keeps up with the stream.",
        [_now(), _accuracy(), _answers(), _labels(), _runs()],
        _fine_tunes(),
    )


def _fine_tunes() -> list[AnnotationQuery]:
    ended = series(m.LIFECYCLE_FINE_TUNES, 'verdict="Improved"')
    failed = series(m.LIFECYCLE_FINE_TUNES, 'verdict!="Improved"')
    return [
        annotation(
            "Fine-tunes begun",
            f"max({series(m.LIFECYCLE_RUNNING)}) > 0 unless max({series(m.LIFECYCLE_RUNNING)} offset 1m) > 0",
            "fine-tune begins",
            "purple",
        ),
        annotation(
            "Fine-tunes that improved",
            f"sum by (verdict) (increase({ended}[1m])) > 0",
            "fine-tune: {{verdict}}",
            "green",
        ),
        annotation(
            "Fine-tunes that did not",
            f"sum by (verdict) (increase({failed}[1m])) > 0",
            "fine-tune: {{verdict}}",
            "orange",
        ),
        annotation(
            "New live version",
            f"changes({series(m.LIFECYCLE_LIVE)}[1m]) > 0",
            "another version is live",
            "blue",
        ),
    ]


def _now() -> Row:
    live = f"max({_SHARE} and on (version) {_LIVE})"
    return Row(
        "Now",
        [
            figure(
                "Live version",
                "The stable version: the one that answers all images but a canary's share.",
                "none",
                Query(f"max({series(m.LIFECYCLE_LIVE)})", "version"),
            ),
            figure(
                "Live accuracy",
                "Share of right answers of the live version among the newest labelled ones. Empty until labels of its "
                "own answers have come.",
                "percentunit",
                Query(live, "accuracy"),
                limits=thresholds((None, "red"), (0.7, "orange"), (0.85, "green")),
                decimals=1,
                empty="no labels yet",
            ),
            figure(
                "Labelled answers behind it",
                "How many labelled answers that accuracy is taken over: below 100 read the interval, not the number.",
                "short",
                Query(f"max({_COUNT} and on (version) {_LIVE})", "answers"),
                limits=thresholds((None, "orange"), (100, "green")),
                empty="none yet",
            ),
            figure(
                "Age of the live model",
                "Since the version that serves was made. Old is fine while no labels are due.",
                "s",
                Query(f"time() - max({_CREATED})", "age"),
            ),
            figure(
                "Until the next fine-tune",
                "Labelled stream samples since the last attempt, of those at which the standing policy makes a run.",
                "percentunit",
                Query(
                    f"max({series(m.LIFECYCLE_FRESH)}) / max({series(m.LIFECYCLE_DUE_AT)})", "due"
                ),
                empty="policy off",
                decimals=0,
            ),
            figure(
                "Fine-tunes, last day",
                "Runs ended in the last day, whatever their verdict.",
                "short",
                Query(f"sum(increase({series(m.LIFECYCLE_FINE_TUNES)}[1d]))", "runs"),
                decimals=0,
            ),
        ],
    )


def _accuracy() -> Row:
    return Row(
        "Live accuracy",
        [
            graph(
                "Live accuracy by version",
                "Share of right answers among the newest labelled ones, by the version that answered first, with the "
                "ends of Wilson's 95 % interval. Two versions whose intervals overlap cannot be told apart yet. Marks: "
                "fine-tunes and promotions.",
                "percentunit",
                Query(_SHARE, "v{{version}}"),
                Query(_LOW, "v{{version}} low"),
                Query(_HIGH, "v{{version}} high"),
                width=16,
                lowest=None,
                highest=1,
                fine=("low", "high"),
                calculations=("lastNotNull", "min", "max"),
            ),
            graph(
                "Labelled answers by version",
                "What the accuracy beside is taken over: the window of the newest labelled answers, shared by the "
                "versions that gave them.",
                "short",
                Query(_COUNT, "v{{version}}"),
                style="stack",
                width=8,
                calculations=("lastNotNull",),
            ),
            graph(
                "Accuracy in the simulator's books",
                "The simulated client knows every label at once: its moving window shows today what live accuracy "
                "shows once labels have come.",
                "percentunit",
                Query(f"max by (version) ({series(m.SIM_ACCURACY)})", "v{{version}}"),
                lowest=None,
                highest=1,
                width=24,
                calculations=("lastNotNull", "min", "max"),
            ),
        ],
    )


def _answers() -> Row:
    total = rate(m.INFERENCE_PREDICTIONS)
    hour = f"sum by (label) (rate({series(m.INFERENCE_PREDICTIONS)}[1h]))"
    day = f"sum by (label) (rate({series(m.INFERENCE_PREDICTIONS)}[1d]))"
    shift = f"sum(abs({hour} / scalar(sum({hour})) - {day} / scalar(sum({day})))) / 2"
    return Row(
        "Answers, before any label comes",
        [
            graph(
                "Predicted class mix",
                "Share of each class among the answers. A class that swells or vanishes without a reason in the world "
                "is the first sign that the stream has changed: days before labels tell.",
                "percentunit",
                Query(
                    f"{rate(m.INFERENCE_PREDICTIONS, by='label')} / scalar({total})", "{{label}}"
                ),
                style="share",
                calculations=("mean", "lastNotNull"),
            ),
            graph(
                "Confidence by version",
                "Mean calibrated confidence. On images like those it learned from it equals accuracy; when accuracy "
                "falls and confidence does not, the model does not know what it does not know.",
                "percentunit",
                Query(mean(m.INFERENCE_CONFIDENCE, by="version"), "v{{version}}"),
                lowest=None,
                highest=1,
            ),
            graph(
                "Unsure answers by version",
                "Share of answers with a confidence of at most 60 %.",
                "percentunit",
                Query(
                    rate(m.INFERENCE_CONFIDENCE, 'le="0.6"', by="version", part="bucket")
                    + " / "
                    + rate(m.INFERENCE_CONFIDENCE, by="version", part="count"),
                    "v{{version}}",
                ),
            ),
            graph(
                "Shift of the class mix",
                "Half the sum of the differences between the last hour's shares and the last day's: 0 is the same mix, "
                "1 is a wholly different one.",
                "percentunit",
                Query(shift, "last hour against last day"),
                limits=thresholds((None, "transparent"), (0.25, "orange")),
                highest=1,
            ),
        ],
    )


def _labels() -> Row:
    return Row(
        "Labels",
        [
            graph(
                "Label delay",
                "From an image's arrival to its label's, where collect has seen both. Live accuracy looks this far "
                "back.",
                "s",
                Query(quantile(0.5, m.COLLECT_LABEL_DELAY), "p50"),
                Query(quantile(0.9, m.COLLECT_LABEL_DELAY), "p90"),
                width=8,
            ),
            graph(
                "Labels and images a minute",
                "Rows into the lake. Labels far below images for long mean that most answers are never checked.",
                "short",
                Query("60 * " + rate(m.COLLECT_ROWS, 'table="labels"'), "labels"),
                Query("60 * " + rate(m.COLLECT_ROWS, 'table="images"'), "images"),
                width=8,
            ),
            graph(
                "Labelled samples",
                "The data set so far: what came from the stream and what was imported at the beginning.",
                "short",
                Query(f"max by (origin) ({series(m.SERVE_LABELLED)})", "{{origin}}"),
                style="stack",
                width=8,
                calculations=("lastNotNull",),
            ),
        ],
    )


def _runs() -> Row:
    return Row(
        "Fine-tuning",
        [
            graph(
                "Samples since the last attempt",
                "A fine-tune is due where the two lines meet. Above it for long: a run waits for something (cooldown, "
                "a canary on trial, no room for the Job).",
                "short",
                Query(f"max({series(m.LIFECYCLE_FRESH)})", "fresh"),
                Query(f"max({series(m.LIFECYCLE_DUE_AT)})", "due at"),
                width=8,
                calculations=("lastNotNull",),
            ),
            graph(
                "Live version",
                "Steps up are promotions, steps down roll-backs.",
                "none",
                Query(f"max({series(m.LIFECYCLE_LIVE)})", "live version"),
                style="steps",
                width=8,
                calculations=("lastNotNull",),
            ),
            graph(
                "Verdicts",
                "How runs ended. `NotImproved` and `RegressedMetric` are the gate at work; `BackoffLimitExceeded`, "
                "`DeadlineExceeded` and `Failed` are runs that came to no verdict.",
                "short",
                Query(
                    f"sum by (verdict) (increase({series(m.LIFECYCLE_FINE_TUNES)}[$__rate_interval]))",
                    "{{verdict}}",
                ),
                style="bars",
                width=8,
                calculations=("sum",),
            ),
        ],
    )
