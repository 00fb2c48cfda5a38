"""The REST edge of projects."""
