"""Where a bucket's data has its home."""

from __future__ import annotations

from enum import Enum

from aistore.sdk.errors import InvalidBckProvider

provider_aliases = {"s3": "aws", "gs": "gcp"}


class Provider(Enum):
    """Provider of a bucket."""

    AIS = "ais"
    AMAZON = "aws"
    AZURE = "azure"
    GOOGLE = "gcp"
    OCI = "oci"

    def is_remote(self) -> bool:
        """Whether the data's home is outside the cluster."""
        return self is not Provider.AIS

    @staticmethod
    def parse(provider: str | Provider) -> Provider:
        """Reads a name or one of its aliases.

        Raises:
            InvalidBckProvider: The name is none of them.
        """
        if isinstance(provider, Provider):
            return provider
        try:
            return Provider(provider_aliases.get(provider, provider))
        except ValueError:
            raise InvalidBckProvider(provider) from None
