"""Linear's GraphQL: its schema, how queries are executed, what they cost."""
