"""How a panel of ours looks: one place for datasource, legends, colours and thresholds."""

from collections.abc import Sequence
from typing import Final, Literal, TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = ["SOURCE", "Query", "figure", "graph", "listing", "thresholds"]

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT: Final = 8
_REFS: Final = "ABCDEFGHIJ"
_Panel = TypeVar("_Panel", timeseries.Panel, stat.Panel, table.Panel)


class Query:
    """One query of a panel.

    Args:
        expr: PromQL.
        legend: what its series are called; ``{{label}}`` is replaced by the label's value.
    """

    def __init__(self, expr: str, legend: str) -> None:
        """Keep both."""
        self.expr = expr
        self.legend = legend


def thresholds(*steps: tuple[float | None, str]) -> dashboards.ThresholdsConfig:
    """Colours from values on; the first step begins at None, which is everything below the second."""
    return (
        dashboards.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=color) for value, color in steps])
    )


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    style: Literal["lines", "stack", "share", "bars", "steps"] = "lines",
    limits: dashboards.ThresholdsConfig | None = None,
    lowest: float | None = 0,
    highest: float | None = None,
    fine: Sequence[str] = (),
    calculations: Sequence[str] = ("mean", "max", "lastNotNull"),
) -> timeseries.Panel:
    """Lines over time.

    Args:
        title: what is seen.
        description: which question the panel answers, and what is good.
        unit: a unit of Grafana's.
        queries: what is drawn.
        width: of 24.
        style: ``stack`` adds series up, ``share`` brings their sum to 100 %, ``steps`` holds a value until the next.
        limits: drawn as dashed lines.
        lowest: of the axis; None: fitted.
        highest: of the axis; None: fitted.
        fine: series whose name ends in one of these words are drawn thin and dashed, and left out of the legend.
        calculations: columns of the legend.
    """
    panel = (
        timeseries.Panel()
        .unit(unit)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(list(calculations))
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
        # A series keeps its colour in every panel: version 7 is the same blue wherever it is seen.
        .color_scheme(dashboards.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(1.5)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.NEVER)
        .draw_style(common.GraphDrawStyle.BARS if style == "bars" else common.GraphDrawStyle.LINE)
        .line_interpolation(
            common.LineInterpolation.STEP_AFTER
            if style == "steps"
            else common.LineInterpolation.LINEAR
        )
    )
    if style in ("stack", "share", "bars"):
        mode = common.StackingMode.PERCENT if style == "share" else common.StackingMode.NORMAL
        panel.stacking(common_builders.StackingConfig().mode(mode)).fill_opacity(60)
    if lowest is not None:
        panel.min(lowest)
    if highest is not None:
        panel.max(highest)
    if limits is not None:
        panel.thresholds(limits).thresholds_style(
            common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        )
    for word in fine:
        panel.override_by_regexp(
            f".* {word}",
            [
                models.DynamicConfigValue(id_val="custom.lineWidth", value=0.5),
                models.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
                models.DynamicConfigValue(
                    id_val="custom.lineStyle", value={"fill": "dash", "dash": [4, 6]}
                ),
                models.DynamicConfigValue(
                    id_val="custom.hideFrom",
                    value={"legend": True, "tooltip": False, "viz": False},
                ),
            ],
        )
    return _finish(panel, title, description, width, queries)


def figure(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    width: int = 4,
    limits: dashboards.ThresholdsConfig | None = None,
    empty: str = "no data",
    decimals: int | None = None,
) -> stat.Panel:
    """One number, coloured by ``limits``; ``empty`` is shown where there is none."""
    panel = (
        stat.Panel()
        .unit(unit)
        .no_value(empty)
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(limits or thresholds((None, "blue")))
        .color_scheme(dashboards.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    )
    if decimals is not None:
        panel.decimals(decimals)
    return _finish(panel, title, description, width, [query], height=4)


def listing(
    title: str,
    description: str,
    *columns: tuple[Query, str],
    key: Sequence[str],
    width: int = 24,
) -> table.Panel:
    """A row for each value of the labels ``key``, a column for each query with a unit of its own."""
    panel = table.Panel()
    renamed = {
        f"Value #{ref}": query.legend for ref, (query, _) in zip(_REFS, columns, strict=False)
    }
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: at for at, name in enumerate((*key, *renamed))},
                "renameByName": renamed,
            },
        )
    )
    for query, unit in columns:
        panel.override_by_name(query.legend, [models.DynamicConfigValue(id_val="unit", value=unit)])
    for ref, (query, _) in zip(_REFS, columns, strict=False):
        panel.with_target(
            prometheus.Dataquery()
            .ref_id(ref)
            .expr(query.expr)
            .instant()
            .format(PromQueryFormat.TABLE)
            .datasource(SOURCE)
        )
    return _place(panel, title, description, width, _HEIGHT)


def _finish(
    panel: _Panel,
    title: str,
    description: str,
    width: int,
    queries: Sequence[Query],
    height: int = _HEIGHT,
) -> _Panel:
    for ref, query in zip(_REFS, queries, strict=False):
        panel.with_target(
            prometheus.Dataquery()
            .ref_id(ref)
            .expr(query.expr)
            .legend_format(query.legend)
            .range()
            .datasource(SOURCE)
        )
    return _place(panel, title, description, width, height)


def _place(panel: _Panel, title: str, description: str, width: int, height: int) -> _Panel:
    return panel.title(title).description(description).datasource(SOURCE).span(width).height(height)
