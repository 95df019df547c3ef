"""Objects: properties, reading and writing."""
