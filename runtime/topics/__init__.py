"""Where topics come from, one file per kind of source: `find(source, ...)` gives topics or why there are none."""
