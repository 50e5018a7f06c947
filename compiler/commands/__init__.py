"""What each command does: `compiler/commands/<verb>.py` has `run(arguments)`, which answers the exit status."""
