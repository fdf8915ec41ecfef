"""A run as one HTML file for people to send to each other: read without torch, and needing no network."""

from .page import Report, write_report

__all__ = ["Report", "write_report"]
