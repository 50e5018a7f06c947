"""Asking language models: `open_model` opens a policy in this process or a served one, `ask` answers row by row."""
