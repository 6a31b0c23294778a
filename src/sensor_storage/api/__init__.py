"""HTTP: health, metrics, statistics and the documentation, from what the workers say of themselves."""
