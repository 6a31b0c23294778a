"""From Kafka to staged segments: consume, decode, keep dead letters, cut segments."""
