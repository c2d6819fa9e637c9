"""The catalogs of a lake, by name: what knows its tables and swaps their metadata."""
