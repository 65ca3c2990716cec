"""Which numbers move: one file each."""
