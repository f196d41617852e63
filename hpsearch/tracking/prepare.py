"""`python -m hpsearch.tracking.prepare`: make the tracking store if it does not exist yet.

A process that has to stay small has this done by another one.
"""

from hpsearch.errors import TrackingError
from hpsearch.tracking.store import TrackingStore

if __name__ == "__main__":
    try:
        TrackingStore().prepare()
    except TrackingError as error:
        raise SystemExit(str(error)) from None
