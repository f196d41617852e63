"""MLflow: the tracking store, what a run contains, and the tracker that writes runs."""
