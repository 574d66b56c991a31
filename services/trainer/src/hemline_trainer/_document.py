"""What a run writes about itself: its report, and the card of the version it publishes."""

import importlib.metadata
from datetime import UTC, datetime
from typing import Any

from hemline_api.report import TrainingReport
from hemline_trainer._gate import Judgement
from hemline_trainer._options import RunOptions
from hemline_trainer._report import REPORT_PARAMETER
from hemline_trainer._start import Start

__all__ = ["card_fields", "make_report"]

_LONGEST_REASON = 512


def make_report(
    options: RunOptions,
    start: Start,
    judgement: Judgement,
    *,
    steps: int,
    temperature: float | None,
) -> TrainingReport:
    """The report of a run that ends now, without a version yet."""
    return TrainingReport(
        uid=options.uid,
        classifier=options.classifier,
        verdict=judgement.verdict,
        reasons=tuple(reason[:_LONGEST_REASON] for reason in judgement.reasons),
        base_version=options.base,
        snapshot=start.state.snapshot,
        samples=start.reply.train_samples,
        fresh_samples=start.reply.fresh_train_samples,
        steps=steps,
        batch_size=options.batch_size,
        evaluations=judgement.evaluations,
        temperature=temperature,
        started_at=start.state.started_at,
        finished_at=datetime.now(UTC),
        code_version=importlib.metadata.version("hemline-trainer"),
    )


def card_fields(options: RunOptions, start: Start, report: TrainingReport) -> dict[str, Any]:
    """What the model library writes into the card beside what it knows itself."""
    metrics = {
        f"{evaluation.name}_accuracy": evaluation.candidate_accuracy
        for evaluation in report.evaluations
    }
    return {
        "name": start.card.name,
        "classes": start.card.classes,
        "temperature": report.temperature,
        "metrics": metrics,
        "parent": options.base,
        "snapshot": start.state.snapshot.model_dump(),
        "run_uid": options.uid,
        "parameters": {
            **start.state.settings,
            "verdict": report.verdict.value,
            # Whole, so that a run killed after publishing can still be reported.
            REPORT_PARAMETER: report.to_json().decode(),
        },
    }
