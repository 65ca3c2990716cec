"""What leaves the run: folders and formats."""
