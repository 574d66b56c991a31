"""A dashboard's frame: variables, links, rows, and fine-tunes drawn as annotations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from hemline_api import metrics as m
from hemline_observability._panels import SOURCE
from hemline_observability._promql import series

__all__ = ["Row", "annotation", "board"]

Panel = timeseries.Panel | stat.Panel | table.Panel
_TAG: Final = "hemline"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, from left to right, 24 columns a line."""

    title: str
    panels: Sequence[Panel]


class _Annotation(models.AnnotationQuery):
    """The SDK's lacks what Prometheus annotations are worded with."""

    def __init__(self, title: str, **fields: Any) -> None:
        super().__init__(datasource=SOURCE, **fields)
        self._title = title

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {"titleFormat": self._title, "step": "30s"}


class _Built(Builder[models.AnnotationQuery]):
    """A finished annotation where the SDK expects something that builds one."""

    def __init__(self, annotation: models.AnnotationQuery) -> None:
        self._annotation = annotation

    def build(self) -> models.AnnotationQuery:
        return self._annotation


def annotation(name: str, expr: str, title: str, color: str) -> models.AnnotationQuery:
    """Marks on every graph where ``expr`` has a value; ``{{label}}`` in ``title`` is replaced."""
    return _Annotation(title, name=name, expr=expr, icon_color=color, enable=True, hide=False)


def board(
    uid: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    annotations: Sequence[models.AnnotationQuery] = (),
) -> models.Dashboard:
    """A dashboard with our variables (data source, namespace, classifier) and links to its siblings."""
    known = series(m.COLLECT_ROWS, within="")
    here = series(m.COLLECT_ROWS, within='namespace="$namespace"')
    builder = (
        dashboards.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([_TAG])
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .with_variable(
            dashboards.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(_choice("namespace", "Namespace", f"label_values({known}, namespace)"))
        .with_variable(_choice("classifier", "Classifier", f"label_values({here}, classifier)"))
        .link(
            dashboards.DashboardLink("Hemline")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([_TAG])
            .keep_time(True)
            .include_vars(True)
        )
        .annotations([_Built(one) for one in annotations])
    )
    number = 0
    for row in rows:
        number += 1
        builder.with_row(dashboards.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            builder.with_panel(panel.id(number))
    return builder.build()


def _choice(name: str, label: str, query: str) -> dashboards.QueryVariable:
    return (
        dashboards.QueryVariable(name)
        .label(label)
        .query({"query": query, "refId": name})
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
