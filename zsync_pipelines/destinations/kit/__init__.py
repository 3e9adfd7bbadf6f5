"""What connectors to vendors' HTTP APIs are made of: calls, credentials, lists, and normal forms of identifiers."""
