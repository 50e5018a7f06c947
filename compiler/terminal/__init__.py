"""What a person sees in the terminal: tables and progress, made from frozen values."""
