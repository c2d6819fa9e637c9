"""Landing: from objects in a folder or store to records, and from there to the archive."""
