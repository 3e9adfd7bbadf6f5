"""JSON as it goes over the wire: what the REST API declares and answers, and what its Python client gives."""
