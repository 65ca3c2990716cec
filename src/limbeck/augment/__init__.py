"""Augment: what is added to rows that there are. Rationales of a teacher; rows themselves come from sources."""
