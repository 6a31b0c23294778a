"""Aggregates: minute, hour and day windows of every sensor, each equal to a recomputation from raw."""
