"""``entrepot serve``: a small supervisor and its web workers."""
