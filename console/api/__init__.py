"""The REST API under /api/v1, one router per feature, over the same functions as the pages."""
