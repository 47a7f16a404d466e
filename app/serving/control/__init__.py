"""What operators set while the service runs: rules and scenarios, kept and applied."""
