"""The compiler: a spec's text to a run directory, through seven passes (`pipeline.py`). It imports no torch."""
