"""A whole load, as a schedule needs it: lock, pipeline, retries, views, summary."""
