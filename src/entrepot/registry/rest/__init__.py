"""The REST edge of the registry: repositories, artifacts, tags, labels, additions, search."""
