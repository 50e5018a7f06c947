"""Where prompts come from, one file per generator kind."""
