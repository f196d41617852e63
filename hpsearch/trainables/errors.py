"""What a user's model does wrong."""

from hpsearch.errors import HpsearchError


class ConfigurationError(Exception):
    """A configuration cannot be trained, however often it is tried: it does not fit into memory."""


class ModelError(HpsearchError):
    """A user's model yields what is no epoch, or asks for what is not there."""
