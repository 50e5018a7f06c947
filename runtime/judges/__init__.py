"""Judges: one file per kind, `judge(spec, responses, ctx)` gives an Opinion: one score for each response."""
