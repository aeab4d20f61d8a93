"""The revisions of the store's schema, oldest first. Files start with ``r`` and their number."""
