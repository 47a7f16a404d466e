"""Who may call the service: API keys, their roles, and the file that keeps them."""
