"""The REST API: a face that parses a request, calls one service function and renders its answer."""
