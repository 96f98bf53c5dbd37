"""The network for other runtimes: forms that they can express, exported files and their parity."""
