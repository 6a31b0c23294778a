"""Readings on disk: sets of readings in plain Parquet, merged by set union, written durably."""
