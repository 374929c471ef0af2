"""The Delta protocol as values: no disk, no clock.

``actions``: lines of a log entry. ``replay``: actions into a snapshot. ``checkpoint``: checkpoint files.
``listing``: what the names in a log folder say. ``vectors``: deletion vectors. ``features``: what we read and
write under. ``commits``: what a log entry says about its version.
"""
