"""Mutation: what decides and what writes is changed at one place at a time, and the plain tests must notice."""
