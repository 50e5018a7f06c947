"""What is asked of a finished plan: does it fit, can it run, why is it so, how does it differ from another."""
