"""Training samples: pictures, trimaps as hands draw them, what a camera does."""
