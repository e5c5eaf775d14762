"""Claims that measure under load, and clean up."""
