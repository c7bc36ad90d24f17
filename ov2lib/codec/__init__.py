"""Signals → chosen blocks → canvases: grouping by bit cost, scoring and packing, for each front end."""
