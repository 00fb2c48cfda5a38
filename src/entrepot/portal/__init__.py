"""Web pages; they call services, never stores."""
