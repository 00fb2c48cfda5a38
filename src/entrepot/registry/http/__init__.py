"""``/v2/`` over HTTP: decode, one verb, encode."""
