"""The HTTP surface: schemas, problems, routes, server."""
