"""What is there before a run, and what the run will cost."""
