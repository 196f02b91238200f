"""Linear's double: the part of its GraphQL API that the desk uses, its signed webhooks, and a page to look at."""
