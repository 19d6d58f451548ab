"""Playing one round through the platform's own API."""
