"""Look: what the tables hold and how they got there. Nothing here changes anything."""
