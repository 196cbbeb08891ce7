"""Speed and memory of this workflow against plain implementations of the original's procedures (see README.md)."""
