"""Tables and figures. Knows score tables only."""
