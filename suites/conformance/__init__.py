"""Claims that read and change nothing."""
