"""The pages of the service, for people with a browser."""
