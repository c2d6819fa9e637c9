"""A table compared with another, or with files, row by row."""
