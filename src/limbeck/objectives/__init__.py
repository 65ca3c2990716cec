"""Which loss: one file each."""
