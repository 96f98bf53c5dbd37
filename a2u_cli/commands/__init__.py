"""What `a2u` can be asked to do, a file a group of commands."""
