"""Foregrounds and backgrounds made from seeds."""
