"""The API, under /api/v1: what programs can do with the studies of a service."""
