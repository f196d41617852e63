"""The service: studies by HTTP, for programs in any language and for people with a browser."""
