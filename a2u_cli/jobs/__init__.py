"""Many pictures: what to do, what was done, and how to go on."""
