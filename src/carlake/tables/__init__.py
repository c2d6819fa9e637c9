"""The tables, one file each, named as the table: columns, scope and SELECT together."""
