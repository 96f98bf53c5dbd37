"""A page to paint trimaps on and an HTTP API for scripts: `a2u serve`."""
