"""Claims that measure the cloud under load, and clean up."""
