"""Keep bytes: the blob-store Protocol, its drivers, the layers around them."""
