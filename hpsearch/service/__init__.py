"""The service: a page and an API over a workspace, for several people and programs."""
