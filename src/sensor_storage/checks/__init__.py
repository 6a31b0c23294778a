"""Whether the service can work here: each check says what it found, and where it is amiss what to do."""
