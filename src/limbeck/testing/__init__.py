"""Contracts that every plug-in has to keep, and toy models to run them on. For tests only."""
