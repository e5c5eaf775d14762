"""What is claimed: one pytest function per invariant."""
