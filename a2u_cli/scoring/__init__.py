"""Mattes against truth: metrics, data sets, reports."""
