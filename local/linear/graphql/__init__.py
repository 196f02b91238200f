"""Executes GraphQL for Linear's fake: schema, resolvers, pagination and complexity."""
