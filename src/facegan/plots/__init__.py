"""Figures for people: training curves, metrics over steps, and bars of attributes."""

from .curves import BINS, COLOURS, ENDINGS, plot_curves, read_columns, save_arrays, save_figure
from .metrics import MetricCurve, plot_attributes, plot_metrics, protocol_difference, read_metric

__all__ = [
    "BINS",
    "COLOURS",
    "ENDINGS",
    "MetricCurve",
    "plot_attributes",
    "plot_curves",
    "plot_metrics",
    "protocol_difference",
    "read_columns",
    "read_metric",
    "save_arrays",
    "save_figure",
]
