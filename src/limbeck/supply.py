"""Rows where the user has none, or too few: data sets that fit, what the teacher writes, labels by votes, curation.

    task --> query --> data sets --> rows that fit --+
     |                                               +--> near duplicates, contradictions, leaks --> 2-made.jsonl
     +----> written by the teacher --> votes --------+"""
