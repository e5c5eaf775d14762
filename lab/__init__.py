"""A real cloud on one machine, its faults and their repair."""
