"""What stands in a report besides the ladder, a module for each: pure functions of sealed artifacts."""
