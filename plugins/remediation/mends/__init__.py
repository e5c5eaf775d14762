"""What mends the claims, a file for each subsystem."""
