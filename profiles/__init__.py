"""Thresholds as data; `sources.toml` says where each number comes from."""
