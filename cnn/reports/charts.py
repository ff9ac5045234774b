"""Interactive charts of a study's report, as HTML that needs the report's one script and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go  # noqa: TID251
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # noqa: TID251

_INK, _GRID, _BLUE, _ORANGE, _FAINT = "#23272e", "#e6e9ed", "#0072B2", "#D55E00", "#9aa3ad"
_STATES = {"completed": ("circle", _BLUE), "pruned": ("circle-open", _FAINT), "failed": ("x", _ORANGE)}
_CONFIG = {"displaylogo": False, "displayModeBar": False, "responsive": True}

Point = tuple[float, float, str, str]
"""Across, up, state, and what is said of it when pointed at."""


def script() -> Markup:
    """plotly.js, whole: a report works where there is no network."""
    return Markup(get_plotlyjs())


def scores_chart(points: Sequence[Point], *, across: str, up: str) -> go.Figure:
    """Each trial as a point, and the best so far as a line that climbs.

    Args:
        points: In the order in which they ran.
    """
    figure = _trials_chart(points, across=across, up=up)
    best, climb = float("-inf"), []
    for place, score, _, _ in points:
        best = max(best, score)
        climb.append((place, best))
    figure.add_scatter(
        x=[place for place, _ in climb],
        y=[score for _, score in climb],
        mode="lines",
        line={"shape": "hv", "color": _INK, "width": 1.5},
        name="best so far",
    )
    return figure


def front_chart(points: Sequence[Point], front: Sequence[tuple[float, float]], *, across: str, up: str) -> go.Figure:
    """Each trial as a point, and those that no other beats in both respects joined by a line."""
    figure = _trials_chart(points, across=across, up=up)
    line = {"color": _ORANGE, "width": 2}
    marker = {"size": 12, "symbol": "circle-open", "color": _ORANGE, "line": {"width": 2}}
    across_front, up_front = [place for place, _ in front], [score for _, score in front]
    figure.add_scatter(x=across_front, y=up_front, mode="lines+markers", line=line, marker=marker, name="Pareto front")
    return figure


def limit_chart(points: Sequence[Point], beyond: Sequence[float], limit: float, *, across: str, up: str) -> go.Figure:
    """Each trial as a point, the limit as a line, and a mark on the axis for what is over a limit and has no score."""
    figure = _trials_chart(points, across=across, up=up)
    figure.add_vline(x=limit, line={"color": _INK, "width": 1.5, "dash": "dash"})
    if beyond:
        foot = min((score for _, score, _, _ in points), default=0.0)
        marker = {"symbol": "x-thin", "color": _ORANGE, "size": 9, "line": {"width": 1.5, "color": _ORANGE}}
        figure.add_scatter(x=list(beyond), y=[foot] * len(beyond), mode="markers", marker=marker, name="infeasible")
    return figure


def importance_chart(importances: Mapping[str, float]) -> go.Figure:
    """A bar a hyperparameter, the largest at the top."""
    names, values = list(importances)[::-1], list(importances.values())[::-1]
    texts = [f"{value:.2f}" for value in values]
    figure = go.Figure(go.Bar(x=values, y=names, orientation="h", text=texts, textposition="outside", cliponaxis=False))
    figure.update_traces(marker_color=_BLUE)
    figure.update_layout(height=110 + 34 * len(names))
    return _styled(figure, across="importance", up="")


def groups_chart(groups: Mapping[str, Sequence[float]], *, across: str, up: str) -> go.Figure:
    """A box a group with all its points beside it."""
    figure = go.Figure()
    for name, scores in groups.items():
        figure.add_box(
            y=list(scores), name=name, boxpoints="all", jitter=0.3, pointpos=0, marker={"size": 5, "opacity": 0.65}
        )
    figure.update_traces(marker_color=_BLUE, line={"width": 1.5}, fillcolor="rgba(0,114,178,0.12)")
    figure.update_layout(height=330, showlegend=False)
    return _styled(figure, across=across, up=up)


def counts_chart(counts: Mapping[str, int]) -> go.Figure:
    """A bar a word."""
    names, values = list(counts)[::-1], list(counts.values())[::-1]
    figure = go.Figure(
        go.Bar(x=values, y=names, orientation="h", text=values, textposition="outside", cliponaxis=False)
    )
    figure.update_traces(marker_color=_BLUE)
    figure.update_layout(height=100 + 30 * len(names))
    return _styled(figure, across="trials", up="")


def as_html(figure: go.Figure, name: str) -> Markup:
    """A chart as a piece of HTML.

    Args:
        name: Unique in its page.
    """
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=_CONFIG)
    return Markup(html)


def restyled(figure: go.Figure, *, height: int) -> go.Figure:
    """One of Optuna's figures in the report's own dress."""
    margin = {"l": 64, "r": 40, "t": 24, "b": 54}
    figure.update_layout(title=None, height=height, margin=margin, paper_bgcolor="white", plot_bgcolor="white")
    figure.update_layout(font={"color": _INK, "size": 12})
    figure.update_xaxes(gridcolor=_GRID)
    figure.update_yaxes(gridcolor=_GRID)
    return figure


def _trials_chart(points: Sequence[Point], *, across: str, up: str) -> go.Figure:
    figure = go.Figure()
    for state, (symbol, colour) in _STATES.items():
        shown = [point for point in points if point[2] == state]
        if shown:
            places, scores, _, texts = zip(*shown, strict=True)
            marker = {"symbol": symbol, "color": colour, "size": 8, "line": {"width": 1.5}}
            figure.add_scatter(
                x=places, y=scores, mode="markers", marker=marker, name=state, text=texts, hoverinfo="text"
            )
    figure.update_layout(height=380)
    return _styled(figure, across=across, up=up)


def _styled(figure: go.Figure, *, across: str, up: str) -> go.Figure:
    axis: dict[str, Any] = {"gridcolor": _GRID, "zerolinecolor": _GRID, "linecolor": "#bbbbbb", "automargin": True}
    figure.update_layout(
        template="none",
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"color": _INK, "size": 12},
        margin={"l": 64, "r": 40, "t": 30, "b": 54},
        legend={"orientation": "h", "y": 1.12, "x": 0},
        xaxis={**axis, "title": across},
        yaxis={**axis, "title": up},
    )
    return figure
