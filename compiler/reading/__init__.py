"""Parts of load, validate and elaborate: trees of values with their places, and what is done to them."""
