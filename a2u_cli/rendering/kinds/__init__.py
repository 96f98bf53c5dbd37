"""Kinds of foregrounds, a file a family: from a generator to a scene."""
