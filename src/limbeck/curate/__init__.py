"""What becomes of rows before anything is trained: duplicates, leaks, splits."""
