"""Directions in z that change one thing about a face: found from a data set's own attributes, or from G's weights."""
