"""Repositories, manifests, blobs, tags, referrers, uploads: the registry itself."""
