"""What the REST API shows of the registry's content: lists, pages and counts, each in a handful of statements."""
