"""What people and tests try the service on: a simulated plant, an embedded broker, and the demo of both."""
