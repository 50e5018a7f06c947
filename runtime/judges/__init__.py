"""Judges: one file per kind, `judge(...)` gives one ScoreRow for each response."""
