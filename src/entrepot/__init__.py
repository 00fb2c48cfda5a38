"""Entrepôt: a container and artifact registry."""

__version__ = "0.1.0"
