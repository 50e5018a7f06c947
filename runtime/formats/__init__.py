"""Formats of other programs: one file per kind of source, read by `adopt`, and the one that `export` writes."""
