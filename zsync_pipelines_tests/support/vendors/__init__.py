"""Stand-ins for vendors' APIs: stateful servers on loopback, one vendor a module."""
