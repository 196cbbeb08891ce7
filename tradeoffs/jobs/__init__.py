"""What every job does around its work: devices, processes, shards, going on after a stop."""
