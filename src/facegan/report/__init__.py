"""A run as one HTML page to send to others: written without torch, and needing no network."""

from .page import Report, write_report

__all__ = ["Report", "write_report"]
