"""The run folder and every other file that facegan writes."""
