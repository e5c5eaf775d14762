"""Claims that use the cloud as a tenant would, and clean up."""
