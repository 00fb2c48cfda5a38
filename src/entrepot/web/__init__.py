"""The HTTP edge: one request and its answer, client addresses, access records, metrics, ranges, paging."""
