"""The ways to break the lab, one small file each."""
