"""Claims that measure the cloud under load."""
