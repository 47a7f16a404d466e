"""What an item, an event, a request and a filter are; the same rules for files and for requests."""
