"""From arrays to arrays: an image and its trimap in, an alpha matte out."""
