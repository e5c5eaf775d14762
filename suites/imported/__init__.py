"""Claims about what other tools reported."""
