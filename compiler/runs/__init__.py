"""Runs: submitted jobs as files that any process may read; no daemon, no database."""
