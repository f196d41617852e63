"""What a user's model does wrong."""

from hpsearch.errors import HpsearchError


class ModelError(HpsearchError):
    """A user's model yields what is no epoch, or asks for what is not there."""
