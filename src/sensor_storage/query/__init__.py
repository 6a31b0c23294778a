"""Every reading by one question: staging, hour files and aggregates as one deduplicated, sorted answer."""
